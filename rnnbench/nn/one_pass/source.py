"""The C of `rnnbench.nn.one_pass`: functions of rows, each with its derivative, in one pass.

A tensor (n0, n1, N) is given by a pointer and the distance between its rows in either dimension;
numbers of a row lie side by side. Sums are taken in a fixed order, so results repeat bit for bit.
"""

from rnnbench.nn.scan.c.math_functions import MATHS

CODE = r"""
#include <stdlib.h>
#define LANES 16
#define ROWS for (int64_t r = 0; r < n0; r++) for (int64_t t = 0; t < n1; t++)
#define AT(x) (x + r * x##0 + t * x##1)
#define EACH _Pragma("GCC ivdep") for (int64_t j = 0; j < N; j++)

/* Activations with their slopes. */
#define HALF ((real)0.5)
#define ROOT ((real)0.70710678118654752440)
static inline void sigmoid(real x, real *value, real *slope) {
  *value = k_sigmoid(x);
  *slope = *value * (1 - *value);
}
static inline void silu(real x, real *value, real *slope) {
  const real s = k_sigmoid(x);
  *value = x * s;
  *slope = s * (1 + x * (1 - s));
}
static inline void gelu(real x, real *value, real *slope) {
  const real below = HALF * (1 + k_erf(x * ROOT));
  *value = x * below;
  *slope = below + x * k_exp(-HALF * x * x) * (real)0.39894228040143267794;
}
static inline void tanh_gelu(real x, real *value, real *slope) {
  const real c = (real)1.5957691216057307118, k = (real)0.044715; /* 2 sqrt(2/pi) */
  const real s = k_sigmoid(c * (x + k * x * x * x));
  *value = x * s;
  *slope = s + *value * (1 - s) * c * (1 + 3 * k * x * x);
}

/* y = f(a) b; da = dy b f'(a), db = dy f(a). */
#define TIMES(name) \
  void name##_times(int64_t n0, int64_t n1, int64_t N, const real *a, int64_t a0, int64_t a1, \
                    const real *b, int64_t b0, int64_t b1, real *y, int64_t y0, int64_t y1) { \
    ROWS { \
      const real *const p = AT(a), *const q = AT(b); \
      real *const to = AT(y); \
      EACH { real v, s; name(p[j], &v, &s); to[j] = v * q[j]; } \
    } \
  } \
  void name##_times_back(int64_t n0, int64_t n1, int64_t N, const real *a, int64_t a0, \
                         int64_t a1, const real *b, int64_t b0, int64_t b1, const real *y, \
                         int64_t y0, int64_t y1, real *da, int64_t da0, int64_t da1, real *db, \
                         int64_t db0, int64_t db1) { \
    ROWS { \
      const real *const p = AT(a), *const q = AT(b), *const dy = AT(y); \
      real *const to_a = AT(da), *const to_b = AT(db); \
      EACH { \
        real v, s; \
        name(p[j], &v, &s); \
        to_a[j] = dy[j] * q[j] * s; \
        to_b[j] = dy[j] * v; \
      } \
    } \
  }
TIMES(sigmoid)
TIMES(silu)
TIMES(gelu)
TIMES(tanh_gelu)

/* The sum of x y over a row, LANES sums side by side. */
static inline real dot(const real *x, const real *y, int64_t N) {
  real sums[LANES] = {0}, total = 0;
  const int64_t whole = N - N % LANES;
  for (int64_t j = 0; j < whole; j += LANES)
    for (int i = 0; i < LANES; i++) sums[i] += x[j + i] * y[j + i];
  for (int64_t j = whole; j < N; j++) sums[j - whole] += x[j] * y[j];
  for (int i = 0; i < LANES; i++) total += sums[i];
  return total;
}

/* y = x / sqrt(mean x^2 + eps) * gain. */
void norm(int64_t n0, int64_t n1, int64_t N, const real *eps, const real *gain, const real *x,
          int64_t x0, int64_t x1, real *y, int64_t y0, int64_t y1) {
  ROWS {
    const real *const from = AT(x);
    real *const to = AT(y);
    const real scale = 1 / F(sqrt)(dot(from, from, N) / N + *eps);
    EACH to[j] = from[j] * scale * gain[j];
  }
}
/* dgain is added to; room has N numbers. */
void norm_back(int64_t n0, int64_t n1, int64_t N, const real *eps, const real *gain, const real *x,
               int64_t x0, int64_t x1, const real *y, int64_t y0, int64_t y1, real *dx,
               int64_t dx0, int64_t dx1, real *dgain, real *room) {
  ROWS {
    const real *const from = AT(x), *const dy = AT(y);
    real *const to = AT(dx);
    const real scale = 1 / F(sqrt)(dot(from, from, N) / N + *eps);
    EACH { dgain[j] += dy[j] * from[j] * scale; room[j] = dy[j] * gain[j]; }
    const real along = dot(room, from, N) * scale * scale * scale / N;
    EACH to[j] = room[j] * scale - from[j] * along;
  }
}

/* z_t = bias + sum_k w_k x_{t-k}, y = z or silu(z); x before the first step is in `past`, of K - 1
   steps (n0, K - 1, N). w (K, N); bias (N). */
static inline const real *seen(const real *x, int64_t x1, const real *past, int64_t K, int64_t N,
                               int64_t t) {
  return t < 0 ? past + (K - 1 + t) * N : x + t * x1;
}
static inline void convolved(real *z, int64_t N, int64_t K, const real *w, const real *bias,
                             const real *x, int64_t x1, const real *past, int64_t t) {
  const real *const now = seen(x, x1, past, K, N, t);
  EACH z[j] = bias[j] + w[j] * now[j];
  for (int64_t k = 1; k < K; k++) {
    const real *const then = seen(x, x1, past, K, N, t - k), *const wk = w + k * N;
    EACH z[j] += wk[j] * then[j];
  }
}
void convolution(int64_t n0, int64_t n1, int64_t N, int64_t K, int64_t bent, const real *w,
                 const real *bias, const real *past, const real *x, int64_t x0, int64_t x1, real *y,
                 int64_t y0, int64_t y1) {
  ROWS {
    real *const to = AT(y);
    convolved(to, N, K, w, bias, x + r * x0, x1, past + r * (K - 1) * N, t);
    if (bent) EACH { real v, s; silu(to[j], &v, &s); to[j] = v; }
  }
}
/* dw and dbias are added to; room has (K + 1) N numbers. */
void convolution_back(int64_t n0, int64_t n1, int64_t N, int64_t K, int64_t bent, const real *w,
                      const real *bias, const real *past, const real *x, int64_t x0, int64_t x1,
                      const real *y, int64_t y0, int64_t y1, real *dw, real *dbias, real *dpast,
                      real *dx, int64_t dx0, int64_t dx1, real *room) {
  for (int64_t r = 0; r < n0; r++) for (int64_t t = n1 - 1; t > -K; t--) {
    const real *const row = x + r * x0, *const before = past + r * (K - 1) * N;
    if (t >= 0) {
      const real *const dy = AT(y);
      real *const dz = room + (t % K) * N, *const z = room + K * N;
      if (bent) {
        convolved(z, N, K, w, bias, row, x1, before, t);
        EACH { real v, s; silu(z[j], &v, &s); dz[j] = dy[j] * s; }
      } else memcpy(dz, dy, N * sizeof(real));
      EACH dbias[j] += dz[j];
      for (int64_t k = 0; k < K; k++) {
        const real *const then = seen(row, x1, before, K, N, t - k);
        real *const to = dw + k * N;
        EACH to[j] += dz[j] * then[j];
      }
    }
    real *const to = t >= 0 ? AT(dx) : dpast + (r * (K - 1) + K - 1 + t) * N;
    memset(to, 0, N * sizeof(real));
    for (int64_t k = t < 0 ? -t : 0; k < K && t + k < n1; k++) {
      const real *const dz = room + ((t + k) % K) * N, *const wk = w + k * N;
      EACH to[j] += wk[j] * dz[j];
    }
  }
}

/* y = a + d x, each channel with a d of its own; da = dy; dd is added to. */
void scaled_sum(int64_t n0, int64_t n1, int64_t N, const real *d, const real *a, int64_t a0,
                int64_t a1, const real *x, int64_t x0, int64_t x1, real *y, int64_t y0,
                int64_t y1) {
  ROWS {
    const real *const p = AT(a), *const q = AT(x);
    real *const to = AT(y);
    EACH to[j] = p[j] + d[j] * q[j];
  }
}
void scaled_sum_back(int64_t n0, int64_t n1, int64_t N, const real *d, const real *x, int64_t x0,
                     int64_t x1, const real *y, int64_t y0, int64_t y1, real *dx, int64_t dx0,
                     int64_t dx1, real *dd) {
  ROWS {
    const real *const q = AT(x), *const dy = AT(y);
    real *const to = AT(dx);
    EACH { to[j] = dy[j] * d[j]; dd[j] += dy[j] * q[j]; }
  }
}

/* y_n = W_n x_n for blocks of K numbers of a row. A matrix (N / K, K, K) is read column by column:
   w for y is turned, w for dx is not. K is a constant where these are used. */
#define BLOCKS for (int64_t n = 0; n < N; n += K)
static inline __attribute__((always_inline)) void blocks(
    const int K, int64_t n0, int64_t n1, int64_t N, const real *w, const real *x, int64_t x0,
    int64_t x1, real *y, int64_t y0, int64_t y1) {
  ROWS {
    const real *const from = AT(x);
    real *const to = AT(y);
    BLOCKS {
      real sum[4] = {0};
      for (int i = 0; i < K; i++) for (int o = 0; o < K; o++)
        sum[o] += w[n * K + i * K + o] * from[n + i];
      for (int o = 0; o < K; o++) to[n + o] = sum[o];
    }
  }
}
static inline __attribute__((always_inline)) void outer_blocks(
    const int K, int64_t n0, int64_t n1, int64_t N, const real *x, int64_t x0, int64_t x1,
    const real *y, int64_t y0, int64_t y1, real *dw) {
  ROWS {
    const real *const from = AT(x), *const dy = AT(y);
    BLOCKS for (int o = 0; o < K; o++) for (int i = 0; i < K; i++)
      dw[n * K + o * K + i] += dy[n + o] * from[n + i];
  }
}
#define FOR_BLOCKS(call) if (K == 4) { enum { K = 4 }; call; } \
  else if (K == 2) { enum { K = 2 }; call; } else { enum { K = 1 }; call; }
void block_map(int64_t n0, int64_t n1, int64_t N, int64_t K, const real *w, const real *x,
               int64_t x0, int64_t x1, real *y, int64_t y0, int64_t y1) {
  FOR_BLOCKS(blocks(K, n0, n1, N, w, x, x0, x1, y, y0, y1))
}
/* dw is added to. */
void block_map_outer(int64_t n0, int64_t n1, int64_t N, int64_t K, const real *x, int64_t x0,
                     int64_t x1, const real *y, int64_t y0, int64_t y1, real *dw) {
  FOR_BLOCKS(outer_blocks(K, n0, n1, N, x, x0, x1, y, y0, y1, dw))
}
"""
SOURCE = MATHS + CODE
