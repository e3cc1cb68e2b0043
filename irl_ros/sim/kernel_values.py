"""What recorded formulas compute with: the C text that comes before them."""

CPU = r"""// 64 bytes of throws at once: AVX-512 where there is any, else GCC's and Clang's vector extensions
#include <cmath>
#include <cstdint>
#include <cstring>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#ifdef DOUBLE
typedef double T;
typedef int64_t Bits;
// a right angle in three parts, the first two short enough for exact products
#define RIGHT_ANGLE_1 1.5707963267341256
#define RIGHT_ANGLE_2 6.077100506303966e-11
#define RIGHT_ANGLE_3 2.0222662487959506e-21
#else
typedef float T;
typedef int32_t Bits;
#define RIGHT_ANGLE_1 1.5703125
#define RIGHT_ANGLE_2 0.0004837512969970703
#define RIGHT_ANGLE_3 7.549789954891882e-08
#endif
enum { LANES = 64 / sizeof(T) };
typedef T V __attribute__((vector_size(64)));
typedef Bits Whole __attribute__((vector_size(64)));
#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 16")

INLINE V spread(T x) { return x - V{}; }  // (0 + x would be an addition: of -0 it is not x)
INLINE V K(double x) { return spread((T)x); }

// M: a truth value for each throw. Of two numbers one of which is NaN, vmin and vmax give the first, as
// torch.minimum(NaN, x) and clamp do.
#if defined(__AVX512F__) && !defined(DOUBLE)
typedef __mmask16 M;
INLINE M less(V a, V b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ); }
INLINE M at_most(V a, V b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LE_OQ); }
INLINE V choose(M m, V a, V b) { return (V)_mm512_mask_blend_ps(m, (__m512)b, (__m512)a); }
INLINE V vmin(V a, V b) { return (V)_mm512_min_ps((__m512)b, (__m512)a); }
INLINE V vmax(V a, V b) { return (V)_mm512_max_ps((__m512)b, (__m512)a); }
INLINE V vsqrt(V a) { return (V)_mm512_sqrt_ps((__m512)a); }
#elif defined(__AVX512F__)
typedef __mmask8 M;
INLINE M less(V a, V b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_LT_OQ); }
INLINE M at_most(V a, V b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_LE_OQ); }
INLINE V choose(M m, V a, V b) { return (V)_mm512_mask_blend_pd(m, (__m512d)b, (__m512d)a); }
INLINE V vmin(V a, V b) { return (V)_mm512_min_pd((__m512d)b, (__m512d)a); }
INLINE V vmax(V a, V b) { return (V)_mm512_max_pd((__m512d)b, (__m512d)a); }
INLINE V vsqrt(V a) { return (V)_mm512_sqrt_pd((__m512d)a); }
#else
typedef Whole M;
INLINE M less(V a, V b) { return a < b; }
INLINE M at_most(V a, V b) { return a <= b; }
INLINE V choose(M m, V a, V b) { return m ? a : b; }
INLINE V vmin(V a, V b) { return b < a ? b : a; }
INLINE V vmax(V a, V b) { return b > a ? b : a; }
INLINE V vsqrt(V a) {
    V r;
    for (int l = 0; l < LANES; ++l) r[l] = std::sqrt(a[l]);
    return r;
}
#endif
INLINE M both(M a, M b) { return a & b; }
INLINE M either(M a, M b) { return a | b; }
INLINE M no(M a) { return ~a; }
#ifdef __AVX512F__
INLINE bool any(M m) { return m != 0; }
#else
INLINE bool any(M m) {
    int64_t words[8], all = 0;
    memcpy(words, &m, 64);
    for (int i = 0; i < 8; ++i) all |= words[i];
    return all != 0;
}
#endif
INLINE V vabs(V a) {
    const Bits but_sign = (Bits)(((uint64_t)1 << (8 * sizeof(T) - 1)) - 1);
    return (V)((Whole)a & (Whole{} + but_sign));
}
INLINE V vceil(V a) {
    V r;
    for (int l = 0; l < LANES; ++l) r[l] = std::ceil(a[l]);
    return r;
}

// Sine and cosine: the angle less the nearest multiple of a right angle, whose number is read off the last
// bits of a large sum; then Taylor's series to rounding on [-π/4, π/4].
struct Angle { V rest; Whole quarter; };
INLINE Angle reduced(V x) {
    const V big = K(sizeof(T) == 8 ? 6755399441055744.0 : 12582912.0);
    const V shifted = x * K(0.63661977236758134308) + big;
    const V k = shifted - big;
    V r = x - k * K(RIGHT_ANGLE_1);
    r = r - k * K(RIGHT_ANGLE_2);
    r = r - k * K(RIGHT_ANGLE_3);
    return {r, (Whole)shifted};
}
INLINE V sine_series(V r) {
    const V z = r * r;
    V s = K(sizeof(T) == 8 ? -1.0 / 1307674368000 : 0.0);
    if (sizeof(T) == 8) {
        s = s * z + K(1.0 / 6227020800);
        s = s * z - K(1.0 / 39916800);
    }
    s = s * z + K(1.0 / 362880);
    s = s * z - K(1.0 / 5040);
    s = s * z + K(1.0 / 120);
    s = s * z - K(1.0 / 6);
    return r + r * z * s;
}
INLINE V cosine_series(V r) {
    const V z = r * r;
    V s = K(sizeof(T) == 8 ? 1.0 / 20922789888000 : 0.0);
    if (sizeof(T) == 8) {
        s = s * z - K(1.0 / 87178291200);
        s = s * z + K(1.0 / 479001600);
    }
    s = s * z - K(1.0 / 3628800);
    s = s * z + K(1.0 / 40320);
    s = s * z - K(1.0 / 720);
    s = s * z + K(1.0 / 24);
    s = s * z - K(0.5);
    return K(1.0) + z * s;
}
INLINE V signed_as(V x, Whole odd) {  // x, or -x where a bit is set
    return (V)((Whole)x ^ (odd << (8 * sizeof(T) - 1)));
}
INLINE V vsin(V x) {
    const Angle a = reduced(x);
    const V r = (a.quarter & 1) ? cosine_series(a.rest) : sine_series(a.rest);
    return signed_as(r, a.quarter >> 1);
}
INLINE V vcos(V x) {
    const Angle a = reduced(x);
    const V r = (a.quarter & 1) ? sine_series(a.rest) : cosine_series(a.rest);
    return signed_as(r, (a.quarter + 1) >> 1);
}

// tanh |x| = (1 - t) / (1 + t) with t = exp(-2 |x|), to rounding of 1
INLINE V vtanh(V x) {
#ifdef DOUBLE
    V r;
    for (int l = 0; l < LANES; ++l) r[l] = std::tanh(x[l]);
    return r;
#else
    const V size = vmin(vabs(x), K(10.0)) * K(-2.8853900817779268);  // in powers of 2
    const V big = K(12582912.0);
    const V shifted = size + big;
    const V f = (size - (shifted - big)) * K(0.69314718055994531);
    V t = K(1.0 / 720);
    t = t * f + K(1.0 / 120);
    t = t * f + K(1.0 / 24);
    t = t * f + K(1.0 / 6);
    t = t * f + K(0.5);
    t = t * f + K(1.0);
    t = t * f + K(1.0);
    t = t * (V)(((Whole)shifted << 23) + 0x3f800000);
    const V r = (K(1.0) - t) / (K(1.0) + t);
    return (V)((Whole)r | ((Whole)x & (Whole{} + INT32_MIN)));
#endif
}

INLINE V load(const T *data, long lane, long first, int lanes) {
    V r;
    if (lane == 0) return spread(*data);
    if (lane == 1 && lanes == LANES) {
        memcpy(&r, data + first, 64);
        return r;
    }
    // lanes beyond the end repeat the last throw, so that they are no trouble
    for (int l = 0; l < LANES; ++l) r[l] = data[(first + (l < lanes ? l : lanes - 1)) * lane];
    return r;
}
INLINE void store(T *data, long first, int lanes, V x) {
    if (lanes == LANES) memcpy(data + first, &x, 64);
    else memcpy(data + first, &x, lanes * sizeof(T));
}
#if defined(__AVX512F__) && !defined(DOUBLE)
// rows for columns, in four rounds: neighbours of 1, 2, 4 and 8 exchange what they have for each other
INLINE void transpose(__m512 *r) {
    __m512 a[16];
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        a[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        for (int k = 0; k < 2; ++k) {
            const __m512d low = _mm512_castps_pd(a[i + k]), high = _mm512_castps_pd(a[i + k + 2]);
            r[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
            r[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
        }
    }
    for (int i = 0; i < 16; i += 8) {
        for (int k = 0; k < 4; ++k) {
            a[i + k] = _mm512_shuffle_f32x4(r[i + k], r[i + k + 4], 0x88);
            a[i + k + 4] = _mm512_shuffle_f32x4(r[i + k], r[i + k + 4], 0xdd);
        }
    }
    for (int k = 0; k < 8; ++k) {
        r[k] = _mm512_shuffle_f32x4(a[k], a[k + 8], 0x88);
        r[k + 8] = _mm512_shuffle_f32x4(a[k], a[k + 8], 0xdd);
    }
}
#endif
// numbers of a throw that are side by side
INLINE void load_beside(const T *data, long lane, long first, int lanes, V *x, int size) {
#if defined(__AVX512F__) && !defined(DOUBLE)
    for (int i = 0; i < size; i += 16) {
        const int many = size - i < 16 ? size - i : 16;
        const __mmask16 those = (__mmask16)((1u << many) - 1);
        __m512 r[16];
        UNROLLED
        for (int l = 0; l < 16; ++l)
            r[l] = _mm512_maskz_loadu_ps(those, data + (first + (l < lanes ? l : lanes - 1)) * lane + i);
        transpose(r);
        UNROLLED
        for (int k = 0; k < 16; ++k)
            if (k < many) x[i + k] = (V)r[k];
    }
#else
    for (int i = 0; i < size; ++i) x[i] = load(data + i, lane, first, lanes);
#endif
}
// the same, throw after throw
INLINE void store_beside(T *data, long first, int lanes, const V *x, int size) {
    data += first * size;
#if defined(__AVX512F__) && !defined(DOUBLE)
    for (int i = 0; i < size; i += 16) {
        const int many = size - i < 16 ? size - i : 16;
        const __mmask16 those = (__mmask16)((1u << many) - 1);
        __m512 r[16];
        UNROLLED
        for (int k = 0; k < 16; ++k) r[k] = (__m512)x[k < many ? i + k : i];
        transpose(r);
        UNROLLED
        for (int l = 0; l < 16; ++l)
            if (l < lanes) _mm512_mask_storeu_ps(data + l * size + i, those, r[l]);
    }
#else
    for (int l = 0; l < lanes; ++l)
        for (int i = 0; i < size; ++i) data[l * size + i] = x[i][l];
#endif
}
"""

CUDA = r"""// one throw a thread
#ifdef DOUBLE
typedef double T;
#else
typedef float T;
#endif
typedef T V;
typedef bool M;
#define INLINE static __device__ __forceinline__
#define UNROLLED _Pragma("unroll")

INLINE V K(double x) { return (T)x; }
INLINE V spread(T x) { return x; }
INLINE M less(V a, V b) { return a < b; }
INLINE M at_most(V a, V b) { return a <= b; }
INLINE M both(M a, M b) { return a && b; }
INLINE M either(M a, M b) { return a || b; }
INLINE M no(M a) { return !a; }
INLINE V choose(M m, V a, V b) { return m ? a : b; }
INLINE V vmin(V a, V b) { return b < a ? b : a; }
INLINE V vmax(V a, V b) { return b > a ? b : a; }
INLINE V vabs(V a) { return a < 0 ? -a : a; }
INLINE V vsqrt(V a) { return sqrt(a); }
INLINE V vceil(V a) { return ceil(a); }
INLINE V vsin(V a) { return sin(a); }
INLINE V vcos(V a) { return cos(a); }
INLINE V vtanh(V a) { return tanh(a); }
INLINE bool any(M m) { return m; }
INLINE V load(const T *data, long lane, long first, int) { return data[first * lane]; }
INLINE void store(T *data, long first, int, V x) { data[first] = x; }
INLINE void load_beside(const T *data, long lane, long first, int, V *x, int size) {
    for (int i = 0; i < size; ++i) x[i] = data[first * lane + i];
}
INLINE void store_beside(T *data, long first, int, const V *x, int size) {
    for (int i = 0; i < size; ++i) data[first * size + i] = x[i];
}
"""
