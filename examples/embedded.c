/* An LSTM that learns on a small machine: from the samples of a signal it learns to foretell the next one.
 *
 *     lstmgen build lstm --target c --no-document -o .
 *     cc -DLSTM_SMALL -I. examples/embedded.c lstm.c -lm && ./a.out
 *
 * There is no malloc: every byte is in a static array. What a device has to do itself is in `sample`, which reads the
 * signal, and in `main`, which prints. docs/embedded.md says how much memory it takes.
 */
#include "lstm.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>

enum { T = 32, D = 1, H = 16 };                 /* steps between two updates, inputs, units */
enum { WINDOWS = 400, TOLD = 50 };              /* how many updates; after how many to tell the error */
static const float learning_rate = 0.1f, momentum = 0.9f, largest_norm = 1.0f;

/* The parameters, those of the cell and of a linear layer on top, one after the other; gradients and velocities alike. */
enum { W_AT = 0, R_AT = W_AT + 4 * H * D, B_AT = R_AT + 4 * H * H, V_AT = B_AT + 4 * H, PARAMETERS = V_AT + H + 1 };
static float parameters[PARAMETERS], gradients[PARAMETERS], velocities[PARAMETERS];
static const lstm_f32_params params = {parameters + W_AT, parameters + R_AT, parameters + B_AT};
static const lstm_f32_grads grads = {gradients + W_AT, gradients + R_AT, gradients + B_AT};
static float *const v = parameters + V_AT, *const dv = gradients + V_AT; /* H weights and a bias */

/* What goes into the cell and comes out of it. The state is handed from window to window. */
static float x[T * D], h[T * H], dh[T * H], state_h[H], state_c[H];
static const lstm_f32_inputs inputs = {x};
static const lstm_f32_outputs outputs = {h};
static const lstm_f32_dy dy = {dh};
static const lstm_f32_state start = {state_h, state_c};
static const lstm_f32_end end = {state_h, state_c};

static unsigned char workspace[lstm_WORKSPACE(T, D, H)];

/* Stands in for a sensor. */
static float sample(int time) {
    return 0.6f * sinf(0.3f * (float)time) + 0.4f * sinf(0.77f * (float)time);
}

/* Numbers from -1 to 1 that look random. */
static float noise(void) {
    static uint32_t seed = 1;
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / 8388608.0f - 1;
}

static void start_parameters(void) {
    const float reach = 1 / sqrtf(H);
    for (int i = 0; i < PARAMETERS; i++) parameters[i] = reach * noise();
    for (int i = 0; i < 4 * H; i++) parameters[B_AT + i] = 0;
    for (int i = 2 * H; i < 3 * H; i++) parameters[B_AT + i] = 1; /* forget gates (z, i, f, o) begin open */
}

/* One window: forward, backward, update. Gives the mean squared error. */
static float learn(lstm_f32 *cell, int time) {
    for (int t = 0; t < T; t++) x[t] = sample(time + t);
    lstm_f32_forward(cell, &params, &inputs, &start, &outputs, &end);

    /* The linear layer, its error, and its gradients */
    float error = 0, norm = 0;
    for (int i = 0; i <= H; i++) dv[i] = 0;
    for (int t = 0; t < T; t++) {
        float foretold = v[H];
        for (int i = 0; i < H; i++) foretold += v[i] * h[t * H + i];
        const float wrong = foretold - sample(time + t + 1), d = 2 * wrong / T;
        for (int i = 0; i < H; i++) {
            dv[i] += d * h[t * H + i];
            dh[t * H + i] = d * v[i];
        }
        dv[H] += d;
        error += wrong * wrong / T;
    }
    lstm_f32_backward(cell, &params, &dy, NULL, &grads, NULL, NULL);

    /* A step against the gradient, which counts for no more than largest_norm */
    for (int i = 0; i < PARAMETERS; i++) norm += gradients[i] * gradients[i];
    norm = sqrtf(norm);
    const float rate = norm > largest_norm ? learning_rate * largest_norm / norm : learning_rate;
    for (int i = 0; i < PARAMETERS; i++) {
        velocities[i] = momentum * velocities[i] - rate * gradients[i];
        parameters[i] += velocities[i];
    }
    return error;
}

int main(void) {
    const lstm_sizes sizes = {D, H};
    lstm_f32 cell;
    const int code = lstm_f32_init(&cell, &sizes, T, 1, 1, workspace, sizeof workspace);
    if (code != lstm_OK) {
        printf("%s\n", lstm_error(code));
        return 1;
    }
    printf("bytes: workspace %u, parameters %u, gradients and velocities %u\n", (unsigned)sizeof workspace,
           (unsigned)sizeof parameters, (unsigned)(sizeof gradients + sizeof velocities));
    start_parameters();
    float first = 0, mean = 0;
    for (int window = 1; window <= WINDOWS; window++) {
        mean += learn(&cell, window * T) / TOLD;
        if (window % TOLD) continue;
        printf("after %3d windows: mean squared error %.4f\n", window, (double)mean);
        if (window == TOLD) first = mean;
        if (window < WINDOWS) mean = 0;
    }
    return mean < first / 4 ? 0 : 1;
}
