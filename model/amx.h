/* Products of bfloat16 matrices by the matrix unit of x86 processors (AMX): rows with rows, added in float32.

A tile is 16 rows of 32 bfloat16s, 1 KB. The unit multiplies a tile with one that is transposed by pairs; four products at a
time share what they load.
*/

#ifndef LINESMITH_AMX_H
#define LINESMITH_AMX_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ROWS = 16, DEPTH = 32, TILE = ROWS * DEPTH, BLOCK = 2 * ROWS };

typedef uint16_t bfloat16;

/* Rows as tiles: `left` as the unit's first operand wants them, `right`, transposed by pairs, as its second does. */
typedef struct {
    bfloat16 *left, *right;
    int rows, depth; /* in tiles */
} Tiles;

static int up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

static void *memory(size_t bytes, int *failed) {
    void *found = aligned_alloc(64, bytes / 64 * 64 + 64);
    if (!found) *failed = 1;
    return found;
}

/* Transposes 16 × 16 pairs of bfloat16s. */
static void transpose(const bfloat16 *tile, bfloat16 *to) {
    __m512i r[16], t[16];
    for (int i = 0; i < 16; i++) r[i] = _mm512_load_si512(tile + i * DEPTH);
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 4; i++) {
        r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; i++) {
        _mm512_store_si512(to + i * DEPTH, _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88));
        _mm512_store_si512(to + (i + 8) * DEPTH, _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd));
    }
}

/* 32 numbers times a factor, cut to eight bits: model.weighted_sums.scaled. */
static __m512i scaled(__m512i x, float factor) {
    const __m512 f = _mm512_set1_ps(factor);
    __m512i parts[2] = {_mm512_cvtepu16_epi32(_mm512_castsi512_si256(x)),
                        _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(x, 1))};
    __m256i cut[2];
    for (int i = 0; i < 2; i++) {
        __m512 wide = _mm512_castsi512_ps(_mm512_slli_epi32(parts[i], 16));
        cut[i] = _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(_mm512_mul_ps(wide, f)), 16));
    }
    return _mm512_inserti64x4(_mm512_castsi256_si512(cut[0]), cut[1], 1);
}

/* Puts one row of `width` numbers, or zeros, into the tiles, from tile column `depth` on; asks for what is needed next. */
static void put(Tiles *to, int row, int depth, const bfloat16 *from, int width, const bfloat16 *next) {
    bfloat16 *at = to->left + ((size_t)(row / ROWS) * to->depth + depth) * TILE + (row % ROWS) * DEPTH;
    for (int k = 0; k < width; k += DEPTH, at += TILE) {
        int left = width - k;
        __mmask32 mask = left >= DEPTH ? 0xFFFFFFFFu : (1u << left) - 1;
        _mm_prefetch((const char *)(next + k), _MM_HINT_T0);
        _mm512_store_si512(at, from ? _mm512_maskz_loadu_epi16(mask, from + k) : _mm512_setzero_si512());
    }
}

static void scale(Tiles *x, float factor) {
    for (size_t k = 0; k < (size_t)x->rows * x->depth * TILE; k += DEPTH)
        _mm512_store_si512(x->left + k, scaled(_mm512_load_si512(x->left + k), factor));
}

static void put_right(Tiles *tiles) {
    const size_t end = (size_t)tiles->rows * tiles->depth * TILE;
    for (size_t at = 0; at < end; at += TILE) transpose(tiles->left + at, tiles->right + at);
}

/* A block of 2 × 2 tiles of left · rightᵀ, over `depth` tiles; added to what the unit holds. */
static void multiply(const bfloat16 *left, const bfloat16 *right, int left_depth, int right_depth, int depth) {
    const bfloat16 *below = left + (size_t)left_depth * TILE, *beside = right + (size_t)right_depth * TILE;
    __asm__ volatile("" : : : "memory"); /* compilers do not see that the unit reads what was stored before */
    for (int k = 0; k < depth; k++) {
        _tile_loadd(4, left + (size_t)k * TILE, 64);
        _tile_loadd(6, right + (size_t)k * TILE, 64);
        _tile_loadd(5, below + (size_t)k * TILE, 64);
        _tile_loadd(7, beside + (size_t)k * TILE, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
}

static void clear(void) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

static void store(float *to, int stride) {
    _tile_stored(0, to, stride * 4);
    _tile_stored(1, to + ROWS, stride * 4);
    _tile_stored(2, to + (size_t)ROWS * stride, stride * 4);
    _tile_stored(3, to + (size_t)ROWS * stride + ROWS, stride * 4);
}

/* Gram matrix of rows, [side, side], in blocks from the diagonal on. */
static void gram(Tiles *x, float *to, int side) {
    put_right(x);
    for (int i = 0; i < x->rows; i += 2)
        for (int j = i; j < x->rows; j += 2) {
            const size_t left = (size_t)i * x->depth * TILE, right = (size_t)j * x->depth * TILE;
            clear();
            multiply(x->left + left, x->right + right, x->depth, x->depth, x->depth);
            store(to + (size_t)i * ROWS * side + j * ROWS, side);
        }
}

static void reserve_tiles(Tiles *x, int rows, int width, int *failed) {
    x->rows = up(rows, BLOCK) / ROWS;
    x->left = memory((size_t)x->rows * ROWS * up(width, DEPTH) * 2, failed);
    x->right = memory((size_t)x->rows * ROWS * up(width, DEPTH) * 2, failed);
}

/* Whether this process may use the unit, which Linux wants to be asked; 0 if so. */
static int ask_for_unit(void) {
    return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */) ? 1 : 0;
}

/* Sets this thread's unit to eight tiles of 16 rows of 64 bytes. What other libraries left there is kept. */
static void take_unit(uint8_t before[64]) {
    uint8_t wanted[64] = {1};
    for (int i = 0; i < 8; i++) {
        wanted[16 + 2 * i] = 64;
        wanted[48 + i] = ROWS;
    }
    __asm__ volatile("sttilecfg %0" : "=m"(*(uint8_t(*)[64])before));
    __asm__ volatile("ldtilecfg %0" : : "m"(wanted));
}

static void give_back_unit(const uint8_t before[64]) {
    if (before[0])
        __asm__ volatile("ldtilecfg %0" : : "m"(*(const uint8_t(*)[64])before));
    else
        _tile_release();
}

#endif
