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
#else
typedef double real;
#define F(name) name
static inline real k_exp(real x) { return exp(x); }
static inline real k_tanh(real x) { return tanh(x); }
#endif
static inline real k_sigmoid(real x) { return (real)1 / ((real)1 + k_exp(-x)); }
static inline real k_log(real x) { return F(log)(x); }
static inline real k_log1p(real x) { return F(log1p)(x); }
static inline real k_expm1(real x) { return F(expm1)(x); }
static inline real k_sqrt(real x) { return F(sqrt)(x); }
static inline real k_sin(real x) { return F(sin)(x); }
static inline real k_cos(real x) { return F(cos)(x); }
static inline real k_erf(real x) { return F(erf)(x); }
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
