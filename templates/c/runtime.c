/* ---------------------------------------------------------------- the fixed part: the same in every cell
 *
 * Arrays are row-major, one row an example, without gaps. A matrix of parameters is used in three ways:
 *
 *     multiply          c = a W^T    rows of values to rows of pre-activations
 *     multiply_turned   c = d W      rows of adjoints back to rows of what W was multiplied with
 *     add_outer         G += d^T a   the gradient of W
 *
 * For these W is packed once in each pass: into panels of PANEL columns, which a tile of TILE_ROWS rows reads from
 * the first entry to the last. A tile's sums stay in registers. With NAME_SMALL there are plain loops instead, which
 * need no copy of anything.
 */

#define R(number) ((real)(number))

/* c[e] for e < count */
static inline void copy(real *c, const real *a, isize count) { memcpy(c, a, (size_t)count * sizeof(real)); }
static inline void clear(real *c, isize count) { memset(c, 0, (size_t)count * sizeof(real)); }

/* The sum of the n-th slice: its pointer lies n times `apart` bytes behind the first slice's */
static inline const real *nth_sum(real *const *first, size_t apart, int n) {
    return *(real *const *)(const void *)((const char *)first + (size_t)n * apart);
}

#ifdef PLAIN

static inline void multiply(isize rows, const Matrix *matrix, real *c, isize ldc, const real *a, isize lda, int add) {
    for (isize r = 0; r < rows; r++, c += ldc, a += lda)
        for (isize n = 0; n < matrix->n; n++) {
            const real *w = matrix->rows + n * matrix->k;
            real sum = add ? c[n] : R(0);
            for (isize k = 0; k < matrix->k; k++) sum += w[k] * a[k];
            c[n] = sum;
        }
}

static inline void multiply_turned(isize rows, const Matrix *matrix, real *c, isize ldc, const real *d, isize ldd, int add) {
    for (isize r = 0; r < rows; r++, c += ldc, d += ldd) {
        if (!add) clear(c, matrix->k);
        for (isize n = 0; n < matrix->n; n++) {
            const real *w = matrix->rows + n * matrix->k;
            for (isize k = 0; k < matrix->k; k++) c[k] += w[k] * d[n];
        }
    }
}

static inline int is_on_its_side(isize k, isize rows) {
    (void)k, (void)rows;
    return 0;
}

static inline void add_outer(isize rows, isize n, isize k, int on_its_side, real *sum, const real *d, isize ldd,
                             const real *a, isize lda, real *space) {
    (void)on_its_side, (void)space;
    for (isize r = 0; r < rows; r++, d += ldd, a += lda)
        for (isize i = 0; i < n; i++)
            for (isize j = 0; j < k; j++) sum[i * k + j] += d[i] * a[j];
}

static inline void pack(const Matrix *matrix, int part, int parts) { (void)matrix, (void)part, (void)parts; }
static inline void pack_turned(const Matrix *matrix, int part, int parts) { (void)matrix, (void)part, (void)parts; }

#else


typedef real Vector __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef real Unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

/* c (height rows, columns <= width vectors) = or += a, whose entry of row r and column k is a[r * ra + k * ka], times
 * one panel of b. Called with constants for height and width only, so that all of `sum` is in registers. */
INLINE void tile(const int height, const int width, real *c, isize ldc, int columns,
                 const real *a, isize ra, isize ka, const real *b, isize depth, int add) {
    Vector sum[TILE_ROWS][PANEL_VECTORS];
    UNROLL for (int r = 0; r < height; r++) UNROLL for (int v = 0; v < width; v++) sum[r][v] = (Vector){0};
    for (isize k = 0; k < depth; k++, a += ka, b += width * LANES) {
        Vector row[PANEL_VECTORS];
        UNROLL for (int v = 0; v < width; v++) row[v] = ((const Vector *)b)[v];
        UNROLL for (int r = 0; r < height; r++) {
            const Vector one = a[r * ra] - (Vector){0};
            UNROLL for (int v = 0; v < width; v++) sum[r][v] += one * row[v];
        }
    }
    if (columns == width * LANES) {
        UNROLL for (int r = 0; r < height; r++) UNROLL for (int v = 0; v < width; v++) {
            Unaligned *to = (Unaligned *)(c + r * ldc) + v;
            if (add) sum[r][v] += *to;
            *to = sum[r][v];
        }
    } else {
        UNROLL for (int r = 0; r < height; r++) {
            Vector line[PANEL_VECTORS];
            UNROLL for (int v = 0; v < width; v++) line[v] = sum[r][v];
            for (int n = 0; n < columns; n++) c[r * ldc + n] = ((const real *)line)[n] + (add ? c[r * ldc + n] : R(0));
        }
    }
}

/* The same for one row: several sums side by side, or each addition would wait for the one before. */
INLINE void line(const int width, const int side, real *c, int columns, const real *a, const real *b, isize depth, int add) {
    Vector sum[8][PANEL_VECTORS];
    UNROLL for (int s = 0; s < side; s++) UNROLL for (int v = 0; v < width; v++) sum[s][v] = (Vector){0};
    isize k = 0;
    for (; k + side <= depth; k += side, b += side * width * LANES)
        UNROLL for (int s = 0; s < side; s++) UNROLL for (int v = 0; v < width; v++)
            sum[s][v] += a[k + s] * ((const Vector *)b)[s * width + v];
    for (; k < depth; k++, b += width * LANES)
        UNROLL for (int v = 0; v < width; v++) sum[0][v] += a[k] * ((const Vector *)b)[v];
    UNROLL for (int s = 1; s < side; s++) UNROLL for (int v = 0; v < width; v++) sum[0][v] += sum[s][v];
    if (columns == width * LANES) {
        UNROLL for (int v = 0; v < width; v++) {
            Unaligned *to = (Unaligned *)c + v;
            if (add) sum[0][v] += *to;
            *to = sum[0][v];
        }
    } else
        for (int n = 0; n < columns; n++) c[n] = ((const real *)sum[0])[n] + (add ? c[n] : R(0));
}

#define TILE(height, width)                                                                                           \
    NOT_INLINE void tile_##height##_##width(real *c, isize ldc, int columns, const real *a, isize ra, isize ka,       \
                                            const real *b, isize depth, int add) {                                    \
        tile(height, width, c, ldc, columns, a, ra, ka, b, depth, add);                                               \
    }
#define LINE(width, side)                                                                                             \
    NOT_INLINE void line_##width(real *c, int columns, const real *a, const real *b, isize depth, int add) {          \
        line(width, side, c, columns, a, b, depth, add);                                                              \
    }
TILE(1, 1) TILE(2, 1) TILE(3, 1) TILE(4, 1) TILE(5, 1) TILE(6, 1)
TILE(1, 2) TILE(2, 2) TILE(3, 2) TILE(4, 2) TILE(5, 2) TILE(6, 2)
LINE(1, 8) LINE(2, 8)
typedef void Tile(real *, isize, int, const real *, isize, isize, const real *, isize, int);
typedef void Line(real *, int, const real *, const real *, isize, int);
#define TILES(width) {tile_1_##width, tile_2_##width, tile_3_##width, tile_4_##width, tile_5_##width, tile_6_##width}
#if PANEL_VECTORS == 4
TILE(1, 3) TILE(2, 3) TILE(3, 3) TILE(4, 3) TILE(5, 3) TILE(6, 3)
TILE(1, 4) TILE(2, 4) TILE(3, 4) TILE(4, 4) TILE(5, 4) TILE(6, 4)
LINE(3, 4) LINE(4, 4)
static Tile *const tiles[PANEL_VECTORS][TILE_ROWS] = {TILES(1), TILES(2), TILES(3), TILES(4)};
static Line *const lines[PANEL_VECTORS] = {line_1, line_2, line_3, line_4};
#else
static Tile *const tiles[PANEL_VECTORS][TILE_ROWS] = {TILES(1), TILES(2)};
static Line *const lines[PANEL_VECTORS] = {line_1, line_2};
#endif

/* How many reals a packed matrix takes: its last panel is as wide as whole vectors. */
#define ROUND_UP(columns) (((columns) + LANES - 1) / LANES * LANES)

static inline void multiply_packed(isize rows, isize columns, isize depth, real *c, isize ldc, const real *a, isize lda,
                            const real *packed, int add) {
    for (isize n = 0; n < columns; n += PANEL, packed += PANEL * depth) {
        const int here = columns - n < PANEL ? (int)(columns - n) : PANEL, width = (here + LANES - 1) / LANES - 1;
        if (rows == 1) {
            lines[width](c + n, here, a, packed, depth, add);
            continue;
        }
        isize left = (rows + TILE_ROWS - 1) / TILE_ROWS;
        for (isize r = 0; left; left--) { /* tiles of nearly equal heights */
            const isize height = (rows - r + left - 1) / left;
            tiles[width][height - 1](c + r * ldc + n, ldc, here, a + r * lda, lda, 1, packed, depth, add);
            r += height;
        }
    }
}

static inline void multiply(isize rows, const Matrix *matrix, real *c, isize ldc, const real *a, isize lda, int add) {
    multiply_packed(rows, matrix->n, matrix->k, c, ldc, a, lda, matrix->packed, add);
}

static inline void multiply_turned(isize rows, const Matrix *matrix, real *c, isize ldc, const real *d, isize ldd, int add) {
    multiply_packed(rows, matrix->k, matrix->n, c, ldc, d, ldd, matrix->turned, add);
}

/* sum (heights rows, columns) += left^T right */
static inline void add_products(isize rows, isize heights, isize columns, real *sum, const real *left, isize ldl,
                                const real *right, isize ldr, real *space) {
    real *const side = space + PANEL * rows; /* left, in columns of TILE_ROWS */
    for (isize first = 0; first < heights; first += TILE_ROWS) {
        const isize height = heights - first < TILE_ROWS ? heights - first : TILE_ROWS;
        real *to = side + first * rows;
        const real *from = left + first;
        if (height == TILE_ROWS)
            for (isize r = 0; r < rows; r++, to += TILE_ROWS, from += ldl) memcpy(to, from, TILE_ROWS * sizeof(real));
        else
            for (isize r = 0; r < rows; r++, from += ldl)
                for (isize e = 0; e < height; e++) *to++ = from[e];
    }
    for (isize first = 0; first < columns; first += PANEL) {
        const int here = columns - first < PANEL ? (int)(columns - first) : PANEL, width = (int)ROUND_UP(here);
        for (isize r = 0; r < rows; r++) {
            copy(space + r * width, right + r * ldr + first, here);
            for (int e = here; e < width; e++) space[r * width + e] = 0;
        }
        for (isize q = 0; q < heights; q += TILE_ROWS) {
            const isize height = heights - q < TILE_ROWS ? heights - q : TILE_ROWS;
            tiles[width / LANES - 1][height - 1](sum + q * columns + first, columns, here, side + q * rows, 1, height,
                                                 space, rows, 1);
        }
    }
}

/* Whether a matrix's gradient is kept on its side, k rows of n entries: it has to be turned in the end, which pays
 * where many rows are added up, or where rows of k entries would not fill a vector. */
static inline int is_on_its_side(isize k, isize rows) { return k < LANES || rows > 1024; }

/* sum += d^T a, or on its side, += a^T d. `space` holds rows * (PANEL + the larger of n and k) reals. */
static inline void add_outer(isize rows, isize n, isize k, int on_its_side, real *sum, const real *d, isize ldd,
                             const real *a, isize lda, real *space) {
    if (on_its_side)
        add_products(rows, k, n, sum, a, lda, d, ldd, space);
    else
        add_products(rows, n, k, sum, d, ldd, a, lda, space);
}

/* W^T in panels: W's rows are the columns. */
static inline void pack(const Matrix *matrix, int part, int parts) {
    const isize n = matrix->n, k = matrix->k;
    for (isize first = part * PANEL; first < n; first += parts * PANEL) {
        const isize here = n - first < PANEL ? n - first : PANEL, width = ROUND_UP(here);
        real *to = matrix->packed + first * k;
        for (isize e = 0; e < width; e += LANES)
            for (isize i = 0; i < k; i++) {
                const real *from = matrix->rows + (first + e) * k + i;
                for (isize lane = 0; lane < LANES; lane++)
                    to[i * width + e + lane] = e + lane < here ? from[lane * k] : R(0);
            }
    }
}

/* W in panels. */
static inline void pack_turned(const Matrix *matrix, int part, int parts) {
    const isize n = matrix->n, k = matrix->k;
    for (isize first = part * PANEL; first < k; first += parts * PANEL) {
        const isize here = k - first < PANEL ? k - first : PANEL, width = ROUND_UP(here);
        real *to = matrix->turned + first * n;
        for (isize i = 0; i < n; i++, to += width) {
            copy(to, matrix->rows + i * k + first, here);
            for (isize e = here; e < width; e++) to[e] = 0;
        }
    }
}

#endif

/* The gradient of a matrix of n rows and k columns: the sums of `count` slices, whose pointers to them lie `apart`
 * bytes from each other. What is not on its side has its first sum in place. */
static inline void collect_outer(real *gradient, real *const *sums, size_t apart, int count, isize n, isize k,
                                 int on_its_side, int part, int parts) {
    enum { BLOCK = 16 };
    for (isize first = part * BLOCK; first < n; first += parts * BLOCK) {
        const isize here = n - first < BLOCK ? n - first : BLOCK;
        if (!on_its_side) {
            for (int s = 1; s < count; s++) {
                const real *more = nth_sum(sums, apart, s) + first * k;
                real *to = gradient + first * k;
                SIMD for (isize e = 0; e < here * k; e++) to[e] += more[e];
            }
            continue;
        }
        for (isize j = 0; j < k; j++) {
            real sum[BLOCK];
            copy(sum, sums[0] + j * n + first, here);
            for (int s = 1; s < count; s++) {
                const real *more = nth_sum(sums, apart, s) + j * n + first;
                for (isize i = 0; i < here; i++) sum[i] += more[i];
            }
            for (isize i = 0; i < here; i++) gradient[(first + i) * k + j] = sum[i];
        }
    }
}

static inline void collect(real *gradient, const real *sum, isize entries) {
    for (isize e = 0; e < entries; e++) gradient[e] += sum[e];
}

/* Rows of `width` entries between the caller's (steps, batch, width) and a slice's own (steps, rows, width); where
 * there is nothing to read, zero */
static inline void copy_in(real *to, const real *from, isize steps, isize rows, isize batch, isize width) {
    if (!from) {
        clear(to, steps * rows * width);
        return;
    }
    for (isize t = 0; t < steps; t++, to += rows * width, from += batch * width) copy(to, from, rows * width);
}

static inline void copy_out(real *to, const real *from, isize steps, isize rows, isize batch, isize width) {
    if (to)
        for (isize t = 0; t < steps; t++, from += rows * width, to += batch * width) copy(to, from, rows * width);
}

/* ---- functions of one number: no branch and no table, so that loops of them become vectors */

/* e^r - 1 for |r| <= log(2) / 2, by its series */
INLINE real expm1_near_zero(real r) {
#ifdef REAL_IS_DOUBLE
    real sum = R(1) / R(87178291200);
    sum = sum * r + R(1) / R(6227020800);
    sum = sum * r + R(1) / R(479001600);
    sum = sum * r + R(1) / R(39916800);
    sum = sum * r + R(1) / R(3628800);
    sum = sum * r + R(1) / R(362880);
    sum = sum * r + R(1) / R(40320);
    sum = sum * r + R(1) / R(5040);
#else
    real sum = R(1) / R(5040);
#endif
    sum = sum * r + R(1) / R(720);
    sum = sum * r + R(1) / R(120);
    sum = sum * r + R(1) / R(24);
    sum = sum * r + R(1) / R(6);
    sum = sum * r + R(1) / R(2);
    return sum * r * r + r;
}

/* 2^n, for n that a normal number can have; what NaN makes of n does no harm */
INLINE real power_of_two(bits n) {
    const unsigned_bits found = ((unsigned_bits)n + EXPONENT_BIAS) << MANTISSA_BITS;
    real y;
    memcpy(&y, &found, sizeof y);
    return y;
}

/* x = n log(2) + r, |r| <= log(2) / 2 */
INLINE bits whole_powers(real x, real *r) {
#if FLT_EVAL_METHOD == 0
    /* Where the last bit of a number is 1, adding rounds: n is in the lowest bits. */
    const real one_bit = ROUNDS_TO_WHOLE, shifted = x * R(1.4426950408889634) + one_bit, n = shifted - one_bit;
    bits found, zero;
    memcpy(&found, &shifted, sizeof found);
    memcpy(&zero, &one_bit, sizeof zero);
    *r = (x - n * LOG2_HIGH) - n * LOG2_LOW;
    return (bits)((unsigned_bits)found - (unsigned_bits)zero);
#else
    const real n = MATH(floor)(x * R(1.4426950408889634) + R(0.5));
    *r = (x - n * LOG2_HIGH) - n * LOG2_LOW;
    return n == n ? (bits)n : 0;
#endif
}

INLINE real real_exp(real x) {
    const real above = x < EXP_LEAST ? EXP_LEAST : x, inside = above > EXP_MOST ? EXP_MOST : above;
    real r;
    const bits n = whole_powers(inside, &r), half = n >> 1; /* in two halves: 2^n itself may be no normal number */
    return (expm1_near_zero(r) + 1) * power_of_two(half) * power_of_two(n - half);
}

/* With e = e^(-2|x|): near zero as (1 - e) / (1 + e), whose 1 - e comes from the series itself, and else as
 * 1 - 2e / (1 + e), which rounds once where it counts */
INLINE real real_tanh(real x) {
    const real size = MATH(fabs)(x), inside = size > TANH_IS_ONE ? TANH_IS_ONE : size;
    real r;
    const real scale = power_of_two(whole_powers(-2 * inside, &r)), series = expm1_near_zero(r) * scale;
    const real minus_one = series + (scale - 1), e = series + scale;
    const real part = (size > R(0.6) ? 2 * e : -minus_one) / (2 + minus_one);
    return MATH(copysign)(size > R(0.6) ? 1 - part : part, x);
}

INLINE real real_sigmoid(real x) { return 1 / (1 + real_exp(-x)); }

/* log(1 + u) for 0 <= u <= 1, by the series of atanh */
INLINE real log1p_unit(real u) {
    const real z = u / (2 + u), s = z * z;
#ifdef REAL_IS_DOUBLE
    real sum = R(1) / R(35);
    for (int k = 33; k >= 17; k -= 2) sum = sum * s + R(1) / R(k);
#else
    real sum = R(1) / R(17);
#endif
    sum = sum * s + R(1) / R(15);
    sum = sum * s + R(1) / R(13);
    sum = sum * s + R(1) / R(11);
    sum = sum * s + R(1) / R(9);
    sum = sum * s + R(1) / R(7);
    sum = sum * s + R(1) / R(5);
    sum = sum * s + R(1) / R(3);
    return 2 * (z + z * s * sum);
}

INLINE real real_abs(real x) { return MATH(fabs)(x); }
INLINE real real_softplus(real x) { return (x < 0 ? R(0) : x) + log1p_unit(real_exp(-real_abs(x))); }
INLINE real real_logsigmoid(real x) { return -real_softplus(-x); }
INLINE real real_relu(real x) { return x < 0 ? R(0) : x; }
INLINE real real_leaky_relu(real x) { return x > 0 ? x : R(0.01) * x; }
INLINE real real_softsign(real x) { return x / (1 + real_abs(x)); }
/* exp(x) - 1 for x up to 40 */
INLINE real expm1_of(real x) {
    const real inside = x < EXP_LEAST ? EXP_LEAST : x;
    real r;
    const bits n = whole_powers(inside, &r), half = n >> 1;
    const real scale = power_of_two(half) * power_of_two(n - half);
    return expm1_near_zero(r) * scale + (scale - 1);
}
INLINE real real_elu(real x) { return x > 0 ? x : expm1_of(x > 0 ? R(0) : x); }
INLINE real real_expm1(real x) { return x > 40 ? real_exp(x) : expm1_of(x > 40 ? R(40) : x); }
INLINE real real_log1p(real x) { return MATH(log1p)(x); }
INLINE real real_erf(real x) { return MATH(erf)(x); }
INLINE real real_bell(real x) { return R(1.1283791670955126) * real_exp(-x * x); }
INLINE real real_clipped(real a, real bound) { return a < -bound ? -bound : a > bound ? bound : a; }
INLINE real real_surrogate(real a, real value, real slope) { return (void)a, (void)slope, value; }
INLINE real real_log(real x) { return MATH(log)(x); }
INLINE real real_sqrt(real x) { return MATH(sqrt)(x); }
INLINE real real_rsqrt(real x) { return 1 / MATH(sqrt)(x); }
INLINE real real_sin(real x) { return MATH(sin)(x); }
INLINE real real_cos(real x) { return MATH(cos)(x); }
INLINE real real_floor(real x) { return MATH(floor)(x); }
INLINE real real_power(real a, real b) { return MATH(pow)(a, b); }
INLINE real real_sign(real x) { return x > 0 ? R(1) : x < 0 ? R(-1) : 0 * x; }
INLINE real real_max(real a, real b) { return a != a || a > b ? a : b; }
INLINE real real_min(real a, real b) { return a != a || a < b ? a : b; }
INLINE real real_clip(real a, real low, real high) { return real_min(real_max(a, low), high); }
INLINE real square(real x) { return x * x; }
INLINE real whole_power(real x, int n) {
    real y = 1;
    for (int left = n < 0 ? -n : n; left; left--) y *= x;
    return n < 0 ? 1 / y : y;
}

/* ---- operations of one example: n rows of m entries */

static inline void op_sum(real *y, const real *a, isize n, isize m) {
    for (isize i = 0; i < n; i++, a += m) {
        real sum = 0;
        SIMD_SUM(sum) for (isize j = 0; j < m; j++) sum += a[j];
        y[i] = sum;
    }
}

static inline void op_mean(real *y, const real *a, isize n, isize m) {
    op_sum(y, a, n, m);
    for (isize i = 0; i < n; i++) y[i] /= R(m);
}

static inline void op_dot(real *y, const real *a, const real *b, isize n, isize m) {
    for (isize i = 0; i < n; i++, a += m, b += m) {
        real sum = 0;
        SIMD_SUM(sum) for (isize j = 0; j < m; j++) sum += a[j] * b[j];
        y[i] = sum;
    }
}

/* The largest entry; NaN where there is one. */
static inline real largest(const real *a, isize m) {
    real found = a[0];
    for (isize j = 1; j < m; j++) found = real_max(found, a[j]);
    return found;
}

static inline void op_logsumexp(real *y, const real *a, isize n, isize m) {
    for (isize i = 0; i < n; i++, a += m) {
        const real most = largest(a, m), shift = most - most == 0 ? most : R(0);
        real sum = 0;
        SIMD_SUM(sum) for (isize j = 0; j < m; j++) sum += real_exp(a[j] - shift);
        y[i] = shift + real_log(sum);
    }
}

static inline void op_softmax(real *y, const real *a, isize n, isize m) {
    for (isize i = 0; i < n; i++, a += m, y += m) {
        const real most = largest(a, m);
        real sum = 0;
        SIMD_SUM(sum) for (isize j = 0; j < m; j++) {
            y[j] = real_exp(a[j] - most);
            sum += y[j];
        }
        SIMD for (isize j = 0; j < m; j++) y[j] /= sum;
    }
}

static inline void op_cumsum(real *y, const real *a, isize n, isize m) {
    for (isize i = 0; i < n; i++, a += m, y += m) {
        real sum = 0;
        for (isize j = 0; j < m; j++) y[j] = sum += a[j];
    }
}

static inline void op_reverse_cumsum(real *y, const real *a, isize n, isize m) {
    for (isize i = 0; i < n; i++, a += m, y += m) {
        real sum = 0;
        for (isize j = m - 1; j >= 0; j--) y[j] = sum += a[j];
    }
}

/* The mean of m entries, and one over the root of their variance and epsilon */
static inline void mean_and_inverse(const real *a, isize m, real epsilon, real *mean, real *inverse) {
    real sum = 0, squares = 0;
    SIMD_SUM(sum) for (isize j = 0; j < m; j++) sum += a[j];
    sum /= R(m);
    SIMD_SUM(squares) for (isize j = 0; j < m; j++) squares += square(a[j] - sum);
    *mean = sum;
    *inverse = 1 / real_sqrt(squares / R(m) + epsilon);
}

static inline void op_layer_norm(real *y, const real *a, real epsilon, isize n, isize m) {
    for (isize i = 0; i < n; i++, a += m, y += m) {
        real mean, inverse;
        mean_and_inverse(a, m, epsilon, &mean, &inverse);
        SIMD for (isize j = 0; j < m; j++) y[j] = (a[j] - mean) * inverse;
    }
}

static inline void op_inverse_std(real *y, const real *a, real epsilon, isize n, isize m) {
    real mean;
    for (isize i = 0; i < n; i++, a += m) mean_and_inverse(a, m, epsilon, &mean, y + i);
}

static inline void op_ones(real *y, isize n) {
    for (isize i = 0; i < n; i++) y[i] = 1;
}

static inline void op_eye(real *y, isize n) {
    for (isize i = 0; i < n; i++)
        for (isize j = 0; j < n; j++) y[i * n + j] = i == j;
}

/* ones on the diagonal and below */
static inline void op_triangle(real *y, isize n) {
    for (isize i = 0; i < n; i++)
        for (isize j = 0; j < n; j++) y[i * n + j] = j <= i;
}

static inline void op_array(real *y, const real *entries, isize n) {
    for (isize i = 0; i < n; i++) y[i] = entries[i];
}

static inline real sum_of_squares(const real *a, isize m) {
    real sum = 0;
    SIMD_SUM(sum) for (isize j = 0; j < m; j++) sum += a[j] * a[j];
    return sum;
}

static inline void op_inverse_rms(real *y, const real *a, real epsilon, isize n, isize m) {
    for (isize i = 0; i < n; i++, a += m) y[i] = real_rsqrt(sum_of_squares(a, m) / (real)m + epsilon);
}

static inline void op_inverse_norm(real *y, const real *a, real epsilon, isize n, isize m) {
    for (isize i = 0; i < n; i++, a += m) y[i] = real_rsqrt(sum_of_squares(a, m) + epsilon);
}

static inline void op_rms_norm(real *y, const real *a, real epsilon, isize n, isize m) {
    for (isize i = 0; i < n; i++, a += m, y += m) {
        real inverse;
        op_inverse_rms(&inverse, a, epsilon, 1, m);
        SIMD for (isize j = 0; j < m; j++) y[j] = a[j] * inverse;
    }
}

static inline void op_l2_norm(real *y, const real *a, real epsilon, isize n, isize m) {
    for (isize i = 0; i < n; i++, a += m, y += m) {
        real inverse;
        op_inverse_norm(&inverse, a, epsilon, 1, m);
        SIMD for (isize j = 0; j < m; j++) y[j] = a[j] * inverse;
    }
}

/* y (n, m) = a b^T */
static inline void op_outer(real *y, const real *a, const real *b, isize n, isize m) {
    for (isize i = 0; i < n; i++, y += m) {
        const real left = a[i];
        SIMD for (isize j = 0; j < m; j++) y[j] = left * b[j];
    }
}

/* y (m, n) = the transpose of a (n, m) */
static inline void op_transpose(real *y, const real *a, isize n, isize m) {
    for (isize i = 0; i < n; i++)
        for (isize j = 0; j < m; j++) y[j * n + i] = a[i * m + j];
}

/* y (n) = A (n, m) v */
static inline void op_matvec(real *y, const real *A, const real *v, isize n, isize m) {
    for (isize i = 0; i < n; i++, A += m) {
        real sum = 0;
        SIMD_SUM(sum) for (isize j = 0; j < m; j++) sum += A[j] * v[j];
        y[i] = sum;
    }
}

/* y (m) = A^T v */
static inline void op_matvec_turned(real *y, const real *A, const real *v, isize n, isize m) {
    clear(y, m);
    for (isize i = 0; i < n; i++, A += m) {
        const real left = v[i];
        SIMD for (isize j = 0; j < m; j++) y[j] += left * A[j];
    }
}

/* y (n, l) = A (n, m) B */
static inline void op_matmul(real *y, const real *A, const real *B, isize n, isize m, isize l) {
    for (isize i = 0; i < n; i++, y += l, A += m) op_matvec_turned(y, B, A, m, l);
}

/* y (n, m): each entry of a m times */
static inline void op_fill(real *y, const real *a, isize n, isize m) {
    for (isize i = 0; i < n; i++, y += m) {
        const real left = a[i];
        SIMD for (isize j = 0; j < m; j++) y[j] = left;
    }
}

/* Every entry of a (n, m) `times` times */
static inline void op_repeat(real *y, const real *a, isize times, isize n, isize m) { op_fill(y, a, n * m, times); }

/* The way back: every `times` entries added up, to y (n, m) */
static inline void op_fold(real *y, const real *a, isize times, isize n, isize m) { op_sum(y, a, n * m, times); }

/* m columns of n rows: those of `a` from `low_a` on become those of `y` from `low_y` on */
static inline void op_columns(real *y, isize low_y, isize width_y, const real *a, isize low_a, isize width_a, isize n, isize m) {
    for (isize i = 0; i < n; i++) copy(y + i * width_y + low_y, a + i * width_a + low_a, m);
}
