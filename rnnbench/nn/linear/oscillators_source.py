"""The C of `oscillators`: one pass over time for LANES channels side by side, and its derivative.

A chunk of steps is run number by number of a state, so that what a number needs stays in registers.
Only states at the beginnings of chunks are kept; the derivative makes those between them anew.
"""

from rnnbench.nn.scan.c.math_functions import MATHS

LANES = 32  # at 16 GCC unrolls loops over lanes wholly, and vectorises no more
CHUNK = 16  # steps whose states are made anew at once

CODE = r"""
#include <stdlib.h>
#define EACH for (int j = 0; j < W; j++)
typedef real lanes[W];
typedef lanes pair[2]; /* real parts, imaginary parts */

static inline void load(real *to, const real *from, int n) {
  if (n == W) memcpy(to, from, sizeof(lanes));
  else { memset(to, 0, sizeof(lanes)); memcpy(to, from, n * sizeof(real)); }
}
/* (channels, N, 2) as N pairs of vectors of channels, and back. */
static inline void turn(pair *to, const real *from, int64_t N, int n) {
  memset(to, 0, N * sizeof(pair));
  for (int j = 0; j < n; j++) for (int64_t k = 0; k < N; k++) for (int i = 0; i < 2; i++)
    to[k][i][j] = from[(j * N + k) * 2 + i];
}
static inline void turn_back(real *to, pair *from, int64_t N, int n) {
  for (int j = 0; j < n; j++) for (int64_t k = 0; k < N; k++) for (int i = 0; i < 2; i++)
    to[(j * N + k) * 2 + i] = from[k][i][j];
}

/* x, y (B, T, E); a, c (E, N, 2); start, end (B, E, N, 2); kept (B, chunks, blocks, N, 2, W), or
   null where no derivative is wanted. Returns 0, or 1 where there is no memory. */
int forward(int64_t B, int64_t T, int64_t E, int64_t N, const real *x, const real *a, const real *c,
            const real *start, real *y, real *end, real *kept) {
  const int64_t blocks = (E + W - 1) / W, chunks = (T + L - 1) / L;
  pair *const h = malloc(3 * N * sizeof(pair)), *const A = h + N, *const C = A + N;
  if (!h) return 1;
  for (int64_t k = 0; k < blocks; k++) {
    const int64_t e = k * W;
    const int n = E - e < W ? (int)(E - e) : W;
    turn(A, a + e * N * 2, N, n);
    turn(C, c + e * N * 2, N, n);
    for (int64_t r = 0; r < B; r++) {
      turn(h, start + (r * E + e) * N * 2, N, n);
      for (int64_t m = 0; m < chunks; m++) {
        const int steps = T - m * L < L ? (int)(T - m * L) : L;
        lanes in[L], out[L];
        if (kept) memcpy(kept + ((r * chunks + m) * blocks + k) * N * 2 * W, h, N * sizeof(pair));
        for (int t = 0; t < steps; t++) load(in[t], x + (r * T + m * L + t) * E + e, n);
        memset(out, 0, sizeof out);
        for (int64_t i = 0; i < N; i++) {
          lanes re, im;
          memcpy(re, h[i][0], sizeof re);
          memcpy(im, h[i][1], sizeof im);
          for (int t = 0; t < steps; t++) EACH {
            const real before = re[j];
            re[j] = A[i][0][j] * before - A[i][1][j] * im[j] + in[t][j];
            im[j] = A[i][0][j] * im[j] + A[i][1][j] * before;
            out[t][j] += C[i][0][j] * re[j] + C[i][1][j] * im[j];
          }
          memcpy(h[i][0], re, sizeof re);
          memcpy(h[i][1], im, sizeof im);
        }
        for (int t = 0; t < steps; t++)
          memcpy(y + (r * T + m * L + t) * E + e, out[t], n * sizeof(real));
      }
      turn_back(end + (r * E + e) * N * 2, h, N, n);
    }
  }
  free(h);
  return 0;
}

int backward(int64_t B, int64_t T, int64_t E, int64_t N, const real *x, const real *a,
             const real *c, const real *kept, const real *dy, const real *dend, real *dx, real *da,
             real *dc, real *dstart) {
  const int64_t blocks = (E + W - 1) / W, chunks = (T + L - 1) / L;
  pair *const g = malloc(6 * N * sizeof(pair)), *const A = g + N, *const C = A + N;
  pair *const Da = C + N, *const Dc = Da + N;
  if (!g) return 1;
  for (int64_t k = 0; k < blocks; k++) {
    const int64_t e = k * W;
    const int n = E - e < W ? (int)(E - e) : W;
    turn(A, a + e * N * 2, N, n);
    turn(C, c + e * N * 2, N, n);
    memset(Da, 0, N * sizeof(pair));
    memset(Dc, 0, N * sizeof(pair));
    for (int64_t r = 0; r < B; r++) {
      turn(g, dend + (r * E + e) * N * 2, N, n);
      for (int64_t m = chunks - 1; m >= 0; m--) {
        const int steps = T - m * L < L ? (int)(T - m * L) : L;
        const real *const from = kept + ((r * chunks + m) * blocks + k) * N * 2 * W;
        lanes in[L], above[L], below[L];
        for (int t = 0; t < steps; t++) {
          load(in[t], x + (r * T + m * L + t) * E + e, n);
          load(above[t], dy + (r * T + m * L + t) * E + e, n);
        }
        memset(below, 0, sizeof below);
        for (int64_t i = 0; i < N; i++) {
          pair h[L + 1];
          memcpy(h[0], from + i * 2 * W, sizeof(pair));
          for (int t = 0; t < steps; t++) EACH {
            h[t + 1][0][j] = A[i][0][j] * h[t][0][j] - A[i][1][j] * h[t][1][j] + in[t][j];
            h[t + 1][1][j] = A[i][0][j] * h[t][1][j] + A[i][1][j] * h[t][0][j];
          }
          pair q, da_, dc_;
          memcpy(q, g[i], sizeof q);
          memcpy(da_, Da[i], sizeof da_);
          memcpy(dc_, Dc[i], sizeof dc_);
          for (int t = steps - 1; t >= 0; t--) EACH {
            const real d = above[t][j];
            const real re = q[0][j] + d * C[i][0][j], im = q[1][j] + d * C[i][1][j];
            dc_[0][j] += d * h[t + 1][0][j];
            dc_[1][j] += d * h[t + 1][1][j];
            below[t][j] += re;
            da_[0][j] += re * h[t][0][j] + im * h[t][1][j];
            da_[1][j] += im * h[t][0][j] - re * h[t][1][j];
            q[0][j] = A[i][0][j] * re + A[i][1][j] * im;
            q[1][j] = A[i][0][j] * im - A[i][1][j] * re;
          }
          memcpy(g[i], q, sizeof q);
          memcpy(Da[i], da_, sizeof da_);
          memcpy(Dc[i], dc_, sizeof dc_);
        }
        for (int t = 0; t < steps; t++)
          memcpy(dx + (r * T + m * L + t) * E + e, below[t], n * sizeof(real));
      }
      turn_back(dstart + (r * E + e) * N * 2, g, N, n);
    }
    turn_back(da + e * N * 2, Da, N, n);
    turn_back(dc + e * N * 2, Dc, N, n);
  }
  free(g);
  return 0;
}
"""
SOURCE = f"#define W {LANES}\n#define L {CHUNK}\n{MATHS}{CODE}"
