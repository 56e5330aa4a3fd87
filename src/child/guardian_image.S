/* SPDX-License-Identifier: MIT
 * The guardian's program, as bytes inside the library; TINE_GUARDIAN_FILE is its path at build time. */
        .section .rodata
        .balign 16
        .globl tine_guardian_image
        .globl tine_guardian_image_end
tine_guardian_image:
        .incbin TINE_GUARDIAN_FILE
tine_guardian_image_end:
        .byte 0
        .section .note.GNU-stack,"",%progbits
