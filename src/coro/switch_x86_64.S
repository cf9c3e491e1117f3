/* SPDX-License-Identifier: MIT */
/*
 * System V AMD64: rbx, rbp, r12 to r15 are the callee's to save.
 *
 * The processor predicts where a ret goes from the calls that it saw, and those were made on the
 * other stack. So where that was left in another place in the code, each ret on the way up would be
 * mispredicted: the first is avoided by `pop; jmp`. Where it was left in the same place, by the
 * same calls, all of them are predicted right, if this one is a ret as well.
 *
 * The unwind information holds in each instruction: both stacks have the same layout at the moment
 * of the exchange.
 */
    .macro SWITCH name, way
    .globl \name
    .hidden \name
    .type \name, @function
    .balign 16
\name:
    .cfi_startproc
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbx, 0
    pushq %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r12, 0
    pushq %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r13, 0
    pushq %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r14, 0
    pushq %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r15, 0
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r15
    popq %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r14
    popq %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r13
    popq %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r12
    popq %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbx
    popq %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbp
    xorl %eax, %eax
    .ifc \way, ret
    ret
    .else
    popq %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rcx
    jmpq *%rcx
    .endif
    .cfi_endproc
    .size \name, . - \name
    .endm

    .section .text.hot, "ax", @progbits
    SWITCH evert__context_switch, jmp
    SWITCH evert__context_switch_alike, ret

/*
 * Where a new stack begins: r12 holds the entry, r13 its argument. Nothing is above it. It is come
 * to behind the nop, since who unwinds looks up the byte before a return address.
 */
    .globl evert__context_begin
    .hidden evert__context_begin
    .type evert__context_begin, @function
    .balign 16
evert__context_begin:
    .cfi_startproc
    .cfi_undefined %rip
    nop
    movq %r13, %rdi
    callq *%r12
    ud2
    .cfi_endproc
    .size evert__context_begin, . - evert__context_begin

    .section .note.GNU-stack, "", @progbits
