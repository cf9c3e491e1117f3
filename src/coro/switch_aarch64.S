/* SPDX-License-Identifier: MIT */
/*
 * AAPCS64: x19 to x29, the link register, and the low halves of v8 to v15 are the callee's to save.
 * There are two, one that ends in `br` and one in `ret`, for the same reason as on x86-64.
 */
    .macro SWITCH name, way
    .globl \name
    .hidden \name
    .type \name, %function
    .balign 16
\name:
    .cfi_startproc
    sub sp, sp, #160
    .cfi_adjust_cfa_offset 160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    .cfi_rel_offset x19, 0
    .cfi_rel_offset x20, 8
    .cfi_rel_offset x21, 16
    .cfi_rel_offset x22, 24
    .cfi_rel_offset x23, 32
    .cfi_rel_offset x24, 40
    .cfi_rel_offset x25, 48
    .cfi_rel_offset x26, 56
    .cfi_rel_offset x27, 64
    .cfi_rel_offset x28, 72
    .cfi_rel_offset x29, 80
    .cfi_rel_offset x30, 88
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    ldr x9, [x1]
    mov sp, x9
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    add sp, sp, #160
    .cfi_adjust_cfa_offset -160
    .cfi_restore x19
    .cfi_restore x20
    .cfi_restore x21
    .cfi_restore x22
    .cfi_restore x23
    .cfi_restore x24
    .cfi_restore x25
    .cfi_restore x26
    .cfi_restore x27
    .cfi_restore x28
    .cfi_restore x29
    .cfi_restore x30
    mov w0, #0
    .ifc \way, ret
    ret
    .else
    br x30
    .endif
    .cfi_endproc
    .size \name, . - \name
    .endm

    .text
    SWITCH evert__context_switch, br
    SWITCH evert__context_switch_alike, ret

/*
 * Where a new stack begins: x19 holds the entry, x20 its argument. Nothing is above it. It is come
 * to behind the nop, since who unwinds looks up the byte before a return address.
 */
    .globl evert__context_begin
    .hidden evert__context_begin
    .type evert__context_begin, %function
    .balign 16
evert__context_begin:
    .cfi_startproc
    .cfi_undefined x30
    nop
    mov x0, x20
    blr x19
    brk #1
    .cfi_endproc
    .size evert__context_begin, . - evert__context_begin

    .section .note.GNU-stack, "", %progbits
