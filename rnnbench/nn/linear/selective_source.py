"""The selective scan in C: one pass over time for LANES channels at once, and its derivative.

Channels stand side by side in a vector, so that sums over the numbers of a state need no sum across
a vector. Of the expanded states only those at the beginnings of chunks are kept; the derivative
makes those between them anew, a chunk at a time, from the last chunk to the first.
"""

from rnnbench.nn.scan.c.math_functions import MATHS

LANES = 16
CHUNK = 32  # steps whose states are made anew at once: what they take stays in the cache


def source(units: int) -> str:
    """Return the C for states of so many numbers a channel."""
    return f"#define N {units}\n#define W {LANES}\n#define L {CHUNK}\n{MATHS}{CODE}"


CODE = r"""
#include <stdlib.h>
#define EACH for (int j = 0; j < W; j++)
typedef real lanes[W];

/* Some channels of one step, the rest 0. */
static inline void load(real *to, const real *from, int n) {
  if (n == W) memcpy(to, from, sizeof(lanes));
  else { memset(to, 0, sizeof(lanes)); memcpy(to, from, n * sizeof(real)); }
}

/* (channels, N) and back, as N vectors of channels. */
static inline void turn(lanes *to, const real *from, int n) {
  memset(to, 0, N * sizeof(lanes));
  for (int j = 0; j < n; j++) for (int k = 0; k < N; k++) to[k][j] = from[(int64_t)j * N + k];
}
static inline void turn_back(real *to, lanes *from, int n, int add) {
  for (int j = 0; j < n; j++) for (int k = 0; k < N; k++) {
    real *const at = to + (int64_t)j * N + k;
    *at = (add ? *at : 0) + from[k][j];
  }
}

/* x, d, y (B, T, E); b, c (B, T, N); rate (E, N); start, end (B, E, N);
   kept (B, chunks, blocks, N, W), or null where no derivative is wanted. */
void forward(int64_t B, int64_t T, int64_t E, const real *x, const real *d, const real *b,
             const real *c, const real *rate, const real *start, real *y, real *end, real *kept) {
  const int64_t blocks = (E + W - 1) / W, chunks = (T + L - 1) / L;
  for (int64_t r = 0; r < B; r++) for (int64_t k = 0; k < blocks; k++) {
    const int64_t e = k * W;
    const int n = E - e < W ? (int)(E - e) : W;
    lanes h[N], A[N];
    turn(A, rate + e * N, n);
    turn(h, start + (r * E + e) * N, n);
    for (int64_t t = 0; t < T; t++) {
      if (kept && t % L == 0)
        memcpy(kept + ((r * chunks + t / L) * blocks + k) * N * W, h, sizeof h);
      const int64_t at = (r * T + t) * E + e;
      const real *const bt = b + (r * T + t) * N, *const ct = c + (r * T + t) * N;
      lanes step, into, out;
      load(step, d + at, n);
      load(into, x + at, n);
      EACH { into[j] *= step[j]; out[j] = 0; }
      for (int i = 0; i < N; i++) EACH {
        h[i][j] = k_exp(step[j] * A[i][j]) * h[i][j] + into[j] * bt[i];
        out[j] += h[i][j] * ct[i];
      }
      memcpy(y + at, out, n * sizeof(real));
    }
    turn_back(end + (r * E + e) * N, h, n, 0);
  }
}

/* Returns 0, or 1 where there is no memory. Gradients of b, c and rate are added to what is there.
   */
int backward(int64_t B, int64_t T, int64_t E, const real *x, const real *d, const real *b,
             const real *c, const real *rate, const real *kept, const real *dy, const real *dend,
             real *dx, real *dd, real *db, real *dc, real *drate, real *dstart) {
  const int64_t blocks = (E + W - 1) / W, chunks = (T + L - 1) / L;
  lanes(*const H)[N] = malloc((L + 1) * sizeof *H);  /* states of a chunk, the one before first */
  lanes(*const F_)[N] = malloc(L * sizeof *F_);      /* its factors */
  lanes(*const Db)[N] = malloc(L * sizeof *Db);      /* gradients of b and c, by lane */
  lanes(*const Dc)[N] = malloc(L * sizeof *Dc);
  lanes(*const G)[N] = malloc(blocks * sizeof *G);   /* of the state, for each block */
  lanes(*const Da)[N] = calloc(blocks, sizeof *Da);  /* of the rate */
  const int failed = !H || !F_ || !Db || !Dc || !G || !Da;
  for (int64_t r = 0; r < B && !failed; r++) {
    for (int64_t k = 0; k < blocks; k++)
      turn(G[k], dend + (r * E + k * W) * N, E - k * W < W ? (int)(E - k * W) : W);
    for (int64_t m = chunks - 1; m >= 0; m--) {
      const int64_t first = m * L;
      const int steps = T - first < L ? (int)(T - first) : L;
      memset(Db, 0, L * sizeof *Db);
      memset(Dc, 0, L * sizeof *Dc);
      for (int64_t k = 0; k < blocks; k++) {
        const int64_t e = k * W;
        const int n = E - e < W ? (int)(E - e) : W;
        lanes A[N], steps_of[L], x_of[L];
        turn(A, rate + e * N, n);
        memcpy(H[0], kept + ((r * chunks + m) * blocks + k) * N * W, sizeof *H);
        for (int t = 0; t < steps; t++) {
          const int64_t at = (r * T + first + t) * E + e;
          const real *const bt = b + (r * T + first + t) * N;
          load(steps_of[t], d + at, n);
          load(x_of[t], x + at, n);
          for (int i = 0; i < N; i++) EACH {
            const real f = k_exp(steps_of[t][j] * A[i][j]);
            F_[t][i][j] = f;
            H[t + 1][i][j] = f * H[t][i][j] + steps_of[t][j] * x_of[t][j] * bt[i];
          }
        }
        lanes *const g = G[k], *const da = Da[k];
        for (int t = steps - 1; t >= 0; t--) {
          const int64_t at = (r * T + first + t) * E + e;
          const real *const bt = b + (r * T + first + t) * N;
          const real *const ct = c + (r * T + first + t) * N;
          lanes above, of_step, of_x;
          load(above, dy + at, n);
          EACH of_step[j] = of_x[j] = 0;
          for (int i = 0; i < N; i++) EACH {
            const real s = steps_of[t][j];
            const real q = g[i][j] + above[j] * ct[i];
            const real p = q * H[t][i][j] * F_[t][i][j];
            Dc[t][i][j] += above[j] * H[t + 1][i][j];
            Db[t][i][j] += q * s * x_of[t][j];
            da[i][j] += p * s;
            of_step[j] += p * A[i][j];
            of_x[j] += q * bt[i];
            g[i][j] = q * F_[t][i][j];
          }
          EACH { of_step[j] += of_x[j] * x_of[t][j]; of_x[j] *= steps_of[t][j]; }
          memcpy(dd + at, of_step, n * sizeof(real));
          memcpy(dx + at, of_x, n * sizeof(real));
        }
      }
      for (int t = 0; t < steps; t++) for (int i = 0; i < N; i++) {
        real of_b = 0, of_c = 0;
        EACH { of_b += Db[t][i][j]; of_c += Dc[t][i][j]; }
        db[(r * T + first + t) * N + i] += of_b;
        dc[(r * T + first + t) * N + i] += of_c;
      }
    }
    for (int64_t k = 0; k < blocks; k++)
      turn_back(dstart + (r * E + k * W) * N, G[k], E - k * W < W ? (int)(E - k * W) : W, 0);
  }
  for (int64_t k = 0; k < blocks && !failed; k++)
    turn_back(drate + k * W * N, Da[k], E - k * W < W ? (int)(E - k * W) : W, 1);
  free(H); free(F_); free(Db); free(Dc); free(G); free(Da);
  return failed;
}
"""
