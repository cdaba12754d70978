"""Matrix products for steps: small ones, of a matrix that stays the same over all steps.

A BLAS packs the matrix at every call; here it is packed once a scan. Tiles of registers as in Goto
& van de Geijn (2008), doi:10.1145/1356052.1356053, written with the vector extensions of GCC and
Clang, so that one source serves every processor.
"""

SOURCE = r"""
#include <stdint.h>
#include <stdlib.h>
#ifdef SINGLE
typedef float real;
#else
typedef double real;
#endif
#if defined(__AVX512F__)
#define BYTES 64
#define MR 14
#elif defined(__AVX__)
#define BYTES 32
#define MR 6
#elif defined(__aarch64__)
#define BYTES 16
#define MR 12
#else
#define BYTES 16
#define MR 6
#endif
#define LANES (BYTES / (int)sizeof(real))
#define NR (2 * LANES) /* columns of a tile */
#define KB 256         /* rows of the second matrix that stay in cache in `outer` */
typedef real vec __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));

/* C (m, n) [+]= start + A (m, K) @ P, a panel of NR packed columns. m is a constant where this is
   used. */
static inline __attribute__((always_inline)) void tile(
    const int m, int64_t K, const real *A, int64_t rs, int64_t cs, const real *P,
    const real *start, real *C, int64_t ldc, int n, int add) {
  vec left[MR], right[MR];
  const vec x0 = start ? *(const vec *)start : (vec){0};
  const vec y0 = start ? *(const vec *)(start + LANES) : (vec){0};
  for (int i = 0; i < m; i++) { left[i] = x0; right[i] = y0; }
  for (int64_t k = 0; k < K; k++) {
    const vec b = *(const vec *)(P + k * NR), c = *(const vec *)(P + k * NR + LANES);
    for (int i = 0; i < m; i++) {
      const real a = A[i * rs + k * cs];
      left[i] += a * b;
      right[i] += a * c;
    }
  }
  for (int i = 0; i < m; i++) {
    real *const row = C + i * ldc;
    if (n == NR) {
      vec *const x = (vec *)row, *const y = (vec *)(row + LANES);
      if (add) { left[i] += *x; right[i] += *y; }
      *x = left[i];
      *y = right[i];
    } else {
      real part[NR];
      *(vec *)part = left[i];
      *(vec *)(part + LANES) = right[i];
      for (int j = 0; j < n; j++) row[j] = add ? row[j] + part[j] : part[j];
    }
  }
}

#define CASE(m) case m: tile(m, K, A, rs, cs, P, start, C, ldc, n, add); break;
static void rows(int m, int64_t K, const real *A, int64_t rs, int64_t cs, const real *P,
                 const real *start, real *C, int64_t ldc, int n, int add) {
  switch (m) {
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if MR > 6
    CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
#if MR > 12
    CASE(13) CASE(14)
#endif
  }
}

/* Elements of a packed matrix of K rows and N columns. */
int64_t packed(int64_t N, int64_t K) { return (N + NR - 1) / NR * NR * K; }

/* Panels of NR columns, row after row; element (k, n) is B[k * rs + n * cs]. */
void pack(int64_t N, int64_t K, const real *B, int64_t rs, int64_t cs, real *P) {
  for (int64_t n = 0; n < N; n += NR) {
    const int64_t w = N - n < NR ? N - n : NR;
    for (int64_t k = 0; k < K; k++, P += NR) {
      const real *const from = B + k * rs + n * cs;
      for (int64_t j = 0; j < w; j++) P[j] = from[j * cs];
      for (int64_t j = w; j < NR; j++) P[j] = 0;
    }
  }
}

static void blocked(int64_t M, int64_t N, int64_t K, const real *A, int64_t rs, int64_t cs,
                    const real *P, const real *start, real *C, int64_t ldc, int add) {
  /* Even blocks of rows: a last block of one or two rows would be slow. Rows in groups that stay
     in cache while the panels pass over them. */
  const int64_t blocks = (M + MR - 1) / MR, group = 16;
  for (int64_t g = 0; g < blocks; g += group) {
    const int64_t end = g + group < blocks ? g + group : blocks;
    for (int64_t n = 0; n < N; n += NR) {
      const int w = N - n < NR ? (int)(N - n) : NR;
      for (int64_t i = g; i < end; i++) {
        const int64_t m = M * i / blocks, next = M * (i + 1) / blocks;
        rows((int)(next - m), K, A + m * rs, rs, cs, P + n * K, start ? start + n : 0,
             C + m * ldc + n, ldc, w, add);
      }
    }
  }
}

/* C (M, N) [+]= A (M, K) @ packed; element (m, k) of A is A[m * rs + k * cs]. */
void multiply(int64_t M, int64_t N, int64_t K, const real *A, int64_t rs, int64_t cs,
              const real *P, real *C, int64_t ldc, int64_t add) {
  blocked(M, N, K, A, rs, cs, P, 0, C, ldc, (int)add);
}

/* C (M, N) = A (M, K) @ B + bias; element (k, n) of B is B[k * rs + n * cs]; bias may be 0. */
void affine(int64_t M, int64_t N, int64_t K, const real *A, const real *B, int64_t rs, int64_t cs,
            const real *bias, real *C, real *room) {
  real *const start = room + packed(N, K);
  pack(N, K, B, rs, cs, room);
  for (int64_t n = 0; n < (N + NR - 1) / NR * NR; n++) start[n] = bias && n < N ? bias[n] : 0;
  blocked(M, N, K, A, K, 1, room, start, C, N, 0);
}

/* C (M, N) = A^T @ B over K rows, A (K, M) and B (K, N) contiguous: the gradient of a matrix. */
void outer(int64_t M, int64_t N, int64_t K, const real *A, const real *B, real *C, real *room) {
  for (int64_t k = 0; k < K; k += KB) {
    const int64_t deep = K - k < KB ? K - k : KB;
    pack(N, deep, B + k * N, N, 1, room);
    multiply(M, N, deep, A + k * M, 1, M, room, C, N, k > 0);
  }
}
"""
