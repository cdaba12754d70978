"""Functions of one number for the emitted C, written so that a compiler vectorises them."""

MATHS = r"""
#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef SINGLE
typedef float real;
#define F(name) name##f
/* exp(x) = 2^n exp(r) with |r| <= ln2/2: the argument is reduced in two steps (Cody and Waite) and
   exp(r) - 1 - r - r^2/2 is the polynomial of Cephes' expf. Less than 1 ulp off where x is in
   -87..88; NaN, infinities and overflow come out as from expf. */
static inline real k_tail(real y, real *scale, real *other) {
  const real m = y * 1.44269504088896341f + 12582912.f, n = m - 12582912.f;
  const real r = (y - n * 0.693359375f) + n * 2.12194440e-4f;
  real q = 1.9875691500e-4f;
  q = q * r + 1.3981999507e-3f; q = q * r + 8.3334519073e-3f; q = q * r + 4.1665795894e-2f;
  q = q * r + 1.6666665459e-1f; q = q * r + 5.0000001201e-1f;
  int32_t bits; memcpy(&bits, &m, 4);
  bits -= 0x4B400000;
  const int32_t half = bits >> 1;
  int32_t a = (half + 127) << 23, b = (bits - half + 127) << 23;
  memcpy(scale, &a, 4); memcpy(other, &b, 4);
  return q * (r * r) + r;
}
static inline real k_exp(real x) {
  real y = x < -104.f ? -104.f : x, a, b;
  y = y > 89.f ? 89.f : y;
  const real e = k_tail(y, &a, &b) + 1.f;
  return e * a * b;
}
static inline real k_tanh(real x) { /* from exp(2x) - 1, so that it is exact near 0: 1.5 ulp */
  real y = x < -10.f ? -10.f : x, a, b;
  y = y > 10.f ? 10.f : y;
  const real e = k_tail(2.f * y, &a, &b), s = a * b, d = e * s + (s - 1.f);
  return d / (d + 2.f);
}
static inline real k_expm1(real x) { /* exact near 0 as above; from 40 on, 1 is below rounding */
  real y = x < -104.f ? -104.f : x, a, b;
  y = y > 89.f ? 89.f : y;
  const real e = k_tail(y, &a, &b), near = y > 40.f ? 0.f : a * b;
  return y > 40.f ? (e + 1.f) * a * b : e * near + (near - 1.f);
}
/* log(x) = n ln2 + log(m) with m in sqrt(1/2)..sqrt(2), and log(m) the polynomial of Cephes' logf.
   Subnormal numbers are scaled first; 0 gives -infinity, below it NaN. */
static inline real k_log(real x) {
  const int small = x < 1.17549435e-38f;
  const real big = small ? x * 8388608.f : x;
  int32_t bits; memcpy(&bits, &big, 4);
  const int32_t n = (bits - 0x3F3504F3) >> 23;
  bits -= n << 23;
  real m; memcpy(&m, &bits, 4);
  m -= 1.f;
  const real k = (real)n - (small ? 23.f : 0.f), z = m * m;
  real q = 7.0376836292e-2f;
  q = q * m - 1.1514610310e-1f; q = q * m + 1.1676998740e-1f; q = q * m - 1.2420140846e-1f;
  q = q * m + 1.4249322787e-1f; q = q * m - 1.6668057665e-1f; q = q * m + 2.0000714765e-1f;
  q = q * m - 2.4999993993e-1f; q = q * m + 3.3333331174e-1f;
  real y = q * m * z - 2.12194440e-4f * k - 0.5f * z + m + 0.693359375f * k;
  y = x == 0.f ? -(real)INFINITY : y;
  y = x < 0.f ? (real)NAN : y;
  return x <= 3.402823466e38f ? y : x + x; /* infinity and NaN stay */
}
/* log(1 + x), corrected by what 1 + x loses in rounding (Kahan). */
static inline real k_log1p(real x) {
  const real u = 1.f + x, lost = x - (u - 1.f), y = k_log(u);
  return u > 0.f && u <= 3.402823466e38f ? y + lost / u : y;
}
/* erf by the quotient of polynomials that Eigen has for it; beyond 4 it is 1 in this precision. */
static inline real k_erf(real x) {
  real y = x < -4.f ? -4.f : x;
  y = y > 4.f ? 4.f : y;
  const real z = y * y;
  real p = -2.72614225801306e-10f, q = -1.45660718464996e-05f;
  p = p * z + 2.77068142495902e-08f; p = p * z - 2.10102402082508e-06f;
  p = p * z - 5.69250639462346e-05f; p = p * z - 7.34990630326855e-04f;
  p = p * z - 2.95459980854025e-03f; p = p * z - 1.60960333262415e-02f;
  q = q * z - 2.13374055278905e-04f; q = q * z - 1.68282697438203e-03f;
  q = q * z - 7.37332916720468e-03f; q = q * z - 1.42647390514189e-02f;
  const real e = y * p / q, low = e < -1.f ? -1.f : e;
  return low > 1.f ? 1.f : low;
}
#else
typedef double real;
#define F(name) name
static inline real k_exp(real x) { return exp(x); }
static inline real k_expm1(real x) { return expm1(x); }
static inline real k_log(real x) { return log(x); }
static inline real k_log1p(real x) { return log1p(x); }
static inline real k_erf(real x) { return erf(x); }
static inline real k_tanh(real x) { return tanh(x); }
#endif
static inline real k_sigmoid(real x) { return (real)1 / ((real)1 + k_exp(-x)); }
static inline real k_sqrt(real x) { return F(sqrt)(x); }
static inline real k_sin(real x) { return F(sin)(x); }
static inline real k_cos(real x) { return F(cos)(x); }
static inline real k_pow(real x, real n) { return n == (real)2 ? x * x : F(pow)(x, n); }
static inline real k_abs(real x) { return F(fabs)(x); }
static inline real k_floor(real x) { return F(floor)(x); }
static inline real k_ceil(real x) { return F(ceil)(x); }
static inline real k_round(real x) { return F(nearbyint)(x); }
static inline real k_trunc(real x) { return F(trunc)(x); }
typedef void (*multiply)(int64_t, int64_t, int64_t, const real *, int64_t, int64_t, const real *,
                         real *, int64_t, int64_t);
typedef void (*packing)(int64_t, int64_t, const real *, int64_t, int64_t, real *);
"""
