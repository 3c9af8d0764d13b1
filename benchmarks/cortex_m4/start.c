/* What a Cortex-M4 needs before main: a table of vectors, and the FPU switched on. For QEMU's mps2-an386. */
extern void _start(void);
extern unsigned stack_top;

static void reset(void) {
    *(volatile unsigned *)0xE000ED88 |= 0xFu << 20; /* CPACR: coprocessors 10 and 11 are the FPU */
    __asm__ volatile("dsb\n\tisb");
    _start();
}

__attribute__((section(".vectors"), used)) static void *const vectors[] = {&stack_top, (void *)reset};
