/* Clip factors of records whose operands are bfloat16s, by the matrix unit of x86 processors (AMX).

What `model.dp_factors` computes with XLA, one record at a time: no operand is read from memory more than once or twice, none
is written. A record's numbers stay in the cache, as tiles, from its Gram matrices to its factor. Products of bfloat16s are
exact in float32, in which the unit adds. A record for which that is not enough is marked, and done in the general way.
*/

#include <math.h>
#include <string.h>

#include "amx.h"

enum { LAYERS = 16 }; /* at most */

/* A weight matrix and its bias by what they meet, each [steps, records, width]; see model.dp_norms.Affine. The first layer's
   inputs are rows of the problem's table: of them only the width is used. */
typedef struct {
    const bfloat16 *inputs, *states, *delta; /* states: NULL where there are none */
    int32_t inputs_width, states_width, delta_width;
} Layer;

typedef struct {
    const Layer *layers;
    const int32_t *tokens;        /* [steps, records] */
    const bfloat16 *table;        /* the embedding, [vocab, width of the first layer's inputs] */
    const bfloat16 *kernel;       /* the first layer's, [that width, width of its δ] */
    int32_t count, steps, records, vocab;
    int32_t looks_up;             /* the first kernel's gradient is of sums by token, which factors multiply exactly */
    float limit, cancellation;
} Problem;

typedef struct {
    Tiles operands[LAYERS]; /* of the layers; what factors multiply */
    Tiles passing, kernel;  /* what is needed once; the kernel, for all records */
    float *grams[LAYERS];   /* of δ, [side, side], from the diagonal on */
    float *gram, *sums, *products;
    int16_t *names;
    int side;
} Scratch;

/* Adds up the terms of a matrix: (its operands' Gram matrix + bias) ∘ that of δ. Returns whether they cancel. */
static int add_terms(const Scratch *s, const float *delta, int steps, float bias, float cancellation, double *total) {
    double sum = 0, absolute = 0;
    const __m512 more = _mm512_set1_ps(bias);
    for (int t = 0; t < steps; t++) {
        const float *a = s->gram + (size_t)t * s->side, *d = delta + (size_t)t * s->side;
        double diagonal = ((double)a[t] + bias) * d[t];
        __m512 terms = _mm512_setzero_ps(), size = terms;
        for (int u = (t + 1) / 16 * 16; u < steps; u += 16) { /* what is right of the diagonal is there twice */
            __mmask16 mask = 0xFFFF;
            if (u < t + 1) mask &= (__mmask16)(0xFFFFu << (t + 1 - u));
            if (u + 16 > steps) mask &= (__mmask16)(0xFFFFu >> (u + 16 - steps));
            __m512 x = _mm512_maskz_mul_ps(mask, _mm512_add_ps(_mm512_load_ps(a + u), more), _mm512_load_ps(d + u));
            terms = _mm512_add_ps(terms, x);
            size = _mm512_add_ps(size, _mm512_abs_ps(x));
        }
        sum += diagonal + 2.0 * _mm512_reduce_add_ps(terms);
        absolute += fabs(diagonal) + 2.0 * _mm512_reduce_add_ps(size);
    }
    *total += sum;
    return !(sum >= cancellation * absolute);
}

static void begin(Tiles *x, int width) { x->depth = up(width, DEPTH) / DEPTH; }

static const bfloat16 *row_of(const bfloat16 *x, const Problem *p, int t, int record, int width) {
    return x + ((size_t)t * p->records + record) * width;
}

/* Steps of a record; those from `lag` steps before, zeros before the first and after the last. */
static void put_steps(Tiles *to, int depth, const bfloat16 *x, const Problem *p, int record, int width, int lag) {
    for (int t = 0; t < to->rows * ROWS; t++) {
        int there = t >= lag && t < p->steps, next = t + 2 < p->steps ? t + 2 : p->steps - 1;
        put(to, t, depth, there ? row_of(x, p, t - lag, record, width) : NULL, width, row_of(x, p, next, record, width));
    }
}

/* What a record's tokens look up. */
static void put_looked_up(Tiles *to, const Problem *p, int record) {
    const int width = p->layers->inputs_width;
    for (int t = 0; t < to->rows * ROWS; t++) {
        const bfloat16 *row = p->table + (size_t)p->tokens[(size_t)(t < p->steps ? t : 0) * p->records + record] * width;
        put(to, t, 0, t < p->steps ? row : NULL, width, row);
    }
}

/* What factors multiply with rounding: inputs, beside them the states of the step before. */
static void take(Tiles *x, const Problem *p, int record, int number) {
    const Layer *layer = p->layers + number;
    const int has_inputs = number > 0 || !p->looks_up, wide = has_inputs ? up(layer->inputs_width, DEPTH) : 0;
    begin(x, wide + (layer->states ? layer->states_width : 0));
    if (has_inputs && number == 0) put_looked_up(x, p, record);
    if (number > 0) put_steps(x, 0, layer->inputs, p, record, layer->inputs_width, 0);
    if (layer->states) put_steps(x, wide / DEPTH, layer->states, p, record, layer->states_width, 1);
}

/* Sums of the first layer's δ by token, [names, width]; returns how many different tokens the record has. */
static int sum_by_token(Scratch *s, const Problem *p, int record, int width) {
    int found = 0;
    for (int t = 0; t < p->steps; t++) {
        int16_t *name = s->names + p->tokens[(size_t)t * p->records + record];
        if (*name < 0) {
            *name = (int16_t)found;
            memset(s->sums + (size_t)found++ * width, 0, (size_t)width * 4);
        }
        const bfloat16 *delta = row_of(p->layers->delta, p, t, record, p->layers->delta_width);
        float *sum = s->sums + (size_t)*name * width;
        for (int k = 0; k < p->layers->delta_width; k++) {
            uint32_t bits = (uint32_t)delta[k] << 16;
            float x;
            memcpy(&x, &bits, 4);
            sum[k] += x;
        }
    }
    for (int t = 0; t < p->steps; t++) s->names[p->tokens[(size_t)t * p->records + record]] = -1;
    return found;
}

/* Puts float32 rows into the tiles as two bfloat16s: what is left out is a 65,536th. */
static void put_in_two(Tiles *to, int row, const float *from, int width) {
    bfloat16 *upper = to->left + (size_t)(row / ROWS) * to->depth * TILE + (row % ROWS) * DEPTH;
    bfloat16 *lower = upper + (size_t)(to->depth / 2) * TILE;
    for (int k = 0; k < width; k += ROWS) {
        __m512 x = from ? _mm512_load_ps(from + k) : _mm512_setzero_ps();
        __m512i high = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32((int)0xFFFF0000));
        __m256bh rest = _mm512_cvtneps_pbh(_mm512_sub_ps(x, _mm512_castsi512_ps(high)));
        size_t at = (size_t)(k / DEPTH) * TILE + k % DEPTH;
        _mm256_store_si256((__m256i *)(upper + at), _mm512_cvtepi32_epi16(_mm512_srli_epi32(high, 16)));
        _mm256_store_si256((__m256i *)(lower + at), (__m256i)rest);
    }
}

/* Squared norm of the embedding's gradient: δ summed by token, multiplied with the kernel, squared. */
static double embedding_norm(Scratch *s, const Problem *p, int record) {
    Tiles *x = &s->passing;
    const int depth = s->kernel.depth, width = depth * DEPTH;
    const int names = sum_by_token(s, p, record, width), rows = up(names, BLOCK);
    begin(x, 2 * width);
    for (int i = 0; i < rows; i++) put_in_two(x, i, i < names ? s->sums + (size_t)i * width : NULL, width);
    double total = 0;
    for (int i = 0; i < rows / ROWS; i += 2)
        for (int j = 0; j < s->kernel.rows; j += 2) {
            const bfloat16 *left = x->left + (size_t)i * x->depth * TILE;
            const bfloat16 *right = s->kernel.right + (size_t)j * depth * TILE;
            clear();
            multiply(left, right, x->depth, depth, depth);
            multiply(left + (size_t)depth * TILE, right, x->depth, depth, depth);
            store(s->products, BLOCK);
            __m512 sum = _mm512_setzero_ps();
            for (int k = 0; k < BLOCK * BLOCK; k += 16) {
                __m512 y = _mm512_load_ps(s->products + k);
                sum = _mm512_fmadd_ps(y, y, sum);
            }
            total += _mm512_reduce_add_ps(sum);
        }
    return total;
}

/* Squared norm of what factors multiply with rounding, as it stands in the tiles. Returns whether terms of it cancel. */
static int rounded_norm(Scratch *s, const Problem *p, float factor, double *total) {
    int cancel = 0;
    *total = 0;
    for (int i = 0; i < p->count; i++) {
        float bias = i == 0 && p->looks_up ? 0 : factor * factor;
        gram(s->operands + i, s->gram, s->side);
        cancel |= add_terms(s, s->grams[i], p->steps, bias, p->cancellation, total);
    }
    return cancel;
}

/* Squared norm of a record's gradient and what to multiply it with; -1 if it is to be done in the general way. */
static void clip_one(Scratch *s, const Problem *p, int record, float *squared, float *factor) {
    double exact = 0, rounded;
    int cancel = 0;
    for (int i = 0; i < p->count; i++) {
        const Layer *layer = p->layers + i;
        begin(&s->passing, layer->delta_width);
        put_steps(&s->passing, 0, layer->delta, p, record, layer->delta_width, 0);
        gram(&s->passing, s->grams[i], s->side);
        if (i == 0) exact = embedding_norm(s, p, record);
        take(s->operands + i, p, record, i);
    }
    if (p->looks_up) {
        begin(&s->passing, p->layers->inputs_width);
        put_looked_up(&s->passing, p, record);
        gram(&s->passing, s->gram, s->side);
        cancel |= add_terms(s, s->grams[0], p->steps, 1, p->cancellation, &exact);
    }
    cancel |= rounded_norm(s, p, 1, &rounded);
    *squared = (float)(exact + rounded);
    *factor = -1;
    if (cancel || !isfinite(*squared)) return;
    float norm = sqrtf(*squared), f = norm <= p->limit ? 1 : p->limit / norm;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    bits &= 0xFFFF0000u;
    memcpy(&f, &bits, 4);
    if (f < 1) { /* what the sum is made of is rounded: its norm is taken again */
        for (int i = 0; i < p->count; i++) scale(s->operands + i, f);
        cancel = rounded_norm(s, p, f, &rounded);
        if (cancel || !(sqrtf((float)(rounded + exact * f * f)) <= p->limit)) return;
    }
    *factor = f;
}

static void release(Scratch *s, int count) {
    Tiles *tiles[] = {&s->passing, &s->kernel};
    for (int i = 0; i < count + 2; i++) {
        Tiles *x = i < count ? s->operands + i : tiles[i - count];
        free(x->left);
        free(x->right);
    }
    for (int i = 0; i < count; i++) free(s->grams[i]);
    free(s->gram);
    free(s->sums);
    free(s->products);
    free(s->names);
}

static int reserve(Scratch *s, const Problem *p) {
    const Layer *first = p->layers;
    int failed = 0, widest = 2 * up(first->delta_width, DEPTH);
    memset(s, 0, sizeof *s);
    s->side = up(p->steps, BLOCK);
    const size_t square = (size_t)s->side * s->side * sizeof(float);
    for (int i = 0; i < p->count; i++) {
        const Layer *layer = first + i;
        if (layer->delta_width > widest) widest = layer->delta_width;
        reserve_tiles(s->operands + i, p->steps, up(layer->inputs_width, DEPTH) + layer->states_width, &failed);
        s->grams[i] = memory(square, &failed);
    }
    if (first->inputs_width > widest) widest = first->inputs_width;
    reserve_tiles(&s->passing, p->steps, widest, &failed);
    reserve_tiles(&s->kernel, first->inputs_width, first->delta_width, &failed);
    begin(&s->kernel, first->delta_width);
    s->gram = memory(square, &failed);
    s->sums = memory((size_t)s->side * s->kernel.depth * DEPTH * sizeof(float), &failed);
    s->products = memory(BLOCK * BLOCK * sizeof(float), &failed);
    s->names = memory((size_t)p->vocab * sizeof *s->names, &failed);
    return failed;
}

/* What all records need. */
static void prepare(Scratch *s, const Problem *p) {
    const int width = p->layers->delta_width;
    memset(s->names, 0xFF, (size_t)p->vocab * sizeof *s->names);
    for (int i = 0; i < s->kernel.rows * ROWS; i++) {
        const bfloat16 *row = i < p->layers->inputs_width ? p->kernel + (size_t)i * width : NULL;
        put(&s->kernel, i, 0, row, width, p->kernel);
    }
    put_right(&s->kernel);
}

/* 0 if this process may use the unit. */
int linesmith_allow(void) { return ask_for_unit(); }

/* Squared norms and factors of records from `start` to before `stop`, [records] each; 0, or 1 where memory was short. */
int linesmith_clip(const Problem *p, int32_t start, int32_t stop, float *squared, float *factors) {
    Scratch s;
    uint8_t before[64];
    int failed = reserve(&s, p);
    if (!failed) {
        prepare(&s, p);
        take_unit(before);
        for (int i = start; i < stop; i++) clip_one(&s, p, i, squared + i, factors + i);
        give_back_unit(before);
    }
    release(&s, p->count);
    return failed;
}
