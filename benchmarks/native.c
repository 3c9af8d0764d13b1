/* What the C of the plain LSTM reaches in float32: benchmarks/native.py compiles it beside lstm.c and asks.
 *
 *     native peak                   billions of operations a second of one tile, with all of its arrays in the first cache
 *     native train T B D H THREADS  microseconds of a forward and a backward pass
 *     native step D H               nanoseconds of a step of one example, and of its two products alone
 */
#define _POSIX_C_SOURCE 199309L
#include "lstm.c"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { REPEATS = 7 };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static float *numbers(size_t count) {
    float *made = aligned_alloc(64, (count * sizeof *made / 64 + 1) * 64);
    for (size_t e = 0; e < count; e++) made[e] = (float)(e * 7919 % 1000) / 5000 - 0.1f;
    return made;
}

/* The least time of a call in half a second, with so many calls between two looks at the clock that it counts. */
static double least(void (*call)(void *), void *context) {
    long calls = 1;
    double best = 1e9;
    for (;; calls *= 2) {
        const double start = now();
        for (long n = 0; n < calls; n++) call(context);
        if (now() - start > 0.02) break;
    }
    const double begun = now();
    for (int n = 0; n < REPEATS || now() - begun < 0.5; n++) {
        const double start = now();
        for (long c = 0; c < calls; c++) call(context);
        const double took = (now() - start) / (double)calls;
        best = took < best ? took : best;
    }
    return best;
}

typedef struct {
    lstm_f32 cell;
    lstm_f32_params params;
    lstm_f32_grads grads;
    lstm_f32_inputs inputs;
    lstm_f32_dinputs dinputs;
    lstm_f32_outputs outputs;
    lstm_f32_dy dy;
    lstm_f32_state state;
    lstm_f32_end end;
    ptrdiff_t D, H;
    float *W, *R, *x, *z;
} Bench;

static void made(Bench *bench, ptrdiff_t T, ptrdiff_t B, ptrdiff_t D, ptrdiff_t H, int threads) {
    const lstm_sizes sizes = {D, H};
    const size_t d = (size_t)D, h = (size_t)H, rows = (size_t)(T * B), bytes = lstm_f32_workspace(&sizes, T, B, threads);
    if (lstm_f32_init(&bench->cell, &sizes, T, B, threads, aligned_alloc(64, (bytes / 64 + 1) * 64), bytes)) exit(1);
#ifdef LSTM_THREADS
    if (threads > 1) {
        bench->cell.runner = lstm_pool_run;
        bench->cell.pool = lstm_pool_new(threads);
    }
#endif
    bench->D = D, bench->H = H;
    bench->params = (lstm_f32_params){numbers(4 * h * d), numbers(4 * h * h), numbers(4 * h)};
    bench->grads = (lstm_f32_grads){numbers(4 * h * d), numbers(4 * h * h), numbers(4 * h)};
    bench->inputs.x = numbers(rows * d), bench->dinputs.x = numbers(rows * d);
    bench->outputs.h = numbers(rows * h), bench->dy.h = numbers(rows * h);
    float *state = numbers((size_t)B * h), *c = numbers((size_t)B * h);
    bench->state = (lstm_f32_state){state, c}, bench->end = (lstm_f32_end){state, c};
    bench->x = numbers(d), bench->z = numbers(4 * h);
    bench->W = numbers(4 * (h + 64) * d), bench->R = numbers(4 * (h + 64) * h);
}

static void train(void *context) {
    Bench *bench = context;
    if (lstm_f32_forward(&bench->cell, &bench->params, &bench->inputs, NULL, &bench->outputs, NULL)) exit(1);
    if (lstm_f32_backward(&bench->cell, &bench->params, &bench->dy, NULL, &bench->grads, &bench->dinputs, NULL)) exit(1);
}

static void step(void *context) {
    Bench *bench = context;
    if (lstm_f32_step(&bench->cell, &bench->inputs, &bench->state, &bench->outputs, &bench->end)) exit(1);
}

static void products(void *context) {
    Bench *bench = context;
#ifdef PLAIN
    const Matrix_f32 W = {bench->params.W, 4 * bench->H, bench->D}, R = {bench->params.R, 4 * bench->H, bench->H};
#else
    const Matrix_f32 W = {bench->params.W, 4 * bench->H, bench->D, bench->W, NULL};
    const Matrix_f32 R = {bench->params.R, 4 * bench->H, bench->H, bench->R, NULL};
#endif
    multiply_f32(1, &W, bench->z, 4 * bench->H, bench->x, bench->D, 0);
    multiply_f32(1, &R, bench->z, 4 * bench->H, bench->state.h, bench->H, 1);
}

#ifndef PLAIN
enum { DEPTH = 64 };
static float *of_tile[3];
static void one_tile(void *context) {
    (void)context;
    tiles_f32[PANEL_VECTORS - 1][TILE_ROWS - 1](of_tile[0], 64, PANEL_VECTORS * VECTOR_BYTES / 4, of_tile[1], DEPTH, 1,
                                                of_tile[2], DEPTH, 0);
}
#endif

int main(int count, char **words) {
    long n[5] = {0};
    for (int at = 2; at < count && at < 7; at++) n[at - 2] = atol(words[at]);
    Bench bench = {0};
    if (count == 2 && !strcmp(words[1], "peak")) {
#ifndef PLAIN
        for (int at = 0; at < 3; at++) of_tile[at] = numbers(64 * DEPTH);
        printf("%g\n", 2.0 * TILE_ROWS * PANEL_VECTORS * VECTOR_BYTES / 4 * DEPTH / least(one_tile, NULL) * 1e-9);
#endif
    } else if (count == 7 && !strcmp(words[1], "train")) {
        made(&bench, n[0], n[1], n[2], n[3], (int)n[4]);
        printf("%g\n", 1e6 * least(train, &bench));
    } else if (count == 4 && !strcmp(words[1], "step")) {
        made(&bench, 1, 1, n[0], n[1], 1);
        if (lstm_f32_prepare(&bench.cell, &bench.params)) return 1;
        printf("%g %g\n", 1e9 * least(step, &bench), 1e9 * least(products, &bench));
    } else
        return 2;
    return 0;
}
