/* SPDX-License-Identifier: MIT */
/*
 * Where functions go that go back by a jump (flat.h). Compilers know it by this name, which comes
 * from the Linux kernel.
 */
    .section .text.hot, "ax", @progbits
    .globl __x86_return_thunk
    .hidden __x86_return_thunk
    .type __x86_return_thunk, @function
    .balign 16
__x86_return_thunk:
    .cfi_startproc
    popq %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rcx
    jmpq *%rcx
    .cfi_endproc
    .size __x86_return_thunk, . - __x86_return_thunk

    .section .note.GNU-stack, "", @progbits
