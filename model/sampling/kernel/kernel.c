/* Steps of a block of rows through a trained network: what `linesmith.model.sampling.reference` computes in NumPy, bit for bit.

   Compile without contraction of products and sums (-ffp-contract=off): every float operation is rounded by itself. */

#include "kernel.h"

#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "fields.h"
#include "trees.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define WIDTH 4
#define GROUP 2
#define VECTOR __m128i
#define NAME(x) x##_baseline
#define TARGET
#define LOAD(p) _mm_loadu_si128((const __m128i *)(p))
#define STORE(p, x) _mm_storeu_si128((__m128i *)(p), x)
#define SPREAD(x) _mm_set1_epi32(x)
#define MULTIPLY_ADD(sum, a, b) _mm_add_epi32(sum, _mm_madd_epi16(a, b))
#include "layers.h"
#include "undefine.h"

#define WIDTH 8
#define GROUP 4
#define VECTOR __m256i
#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2")))
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, x) _mm256_storeu_si256((__m256i *)(p), x)
#define SPREAD(x) _mm256_set1_epi32(x)
#define MULTIPLY_ADD(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
#include "layers.h"
#include "undefine.h"

#define WIDTH 16
#define GROUP 12
#define VECTOR __m512i
#define NAME(x) x##_avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vnni")))
#define LOAD(p) _mm512_loadu_si512(p)
#define STORE(p, x) _mm512_storeu_si512(p, x)
#define SPREAD(x) _mm512_set1_epi32(x)
#define MULTIPLY_ADD(sum, a, b) _mm512_dpwssd_epi32(sum, a, b)
#include "layers.h"
#include "undefine.h"
#else
/* Vectors of the compiler: NEON on arm64. */
typedef int32_t Integers __attribute__((vector_size(16), aligned(4), may_alias));

static inline Integers multiply_add(Integers sum, Integers a, Integers b) {
    return sum + (Integers)((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
}
#define WIDTH 4
#define GROUP 2
#define VECTOR Integers
#define NAME(x) x##_baseline
#define TARGET
#define LOAD(p) (*(const Integers *)(p))
#define STORE(p, x) (*(Integers *)(p) = (x))
#define SPREAD(x) ((Integers){0} + (x))
#define MULTIPLY_ADD(sum, a, b) multiply_add(sum, a, b)
#include "layers.h"
#include "undefine.h"
#endif

typedef void (*StepLayers)(const Network *, const Block *, int, Scratch *);
typedef void (*Multiply)(const float *, int, int, const float *, int, float *);

typedef struct {
    const char *name;
    StepLayers step_layers;
    Exponentials exponentials;
    Multiply multiply;
} Set;

/* Instruction sets from the best to the least; the last one is everywhere. */
static const Set SETS[] = {
#if defined(__x86_64__)
    {"avx512vnni", step_layers_avx512, exponentials_avx512, multiply_avx512},
    {"avx2", step_layers_avx2, exponentials_avx2, multiply_avx2},
#endif
    {"baseline", step_layers_baseline, exponentials_baseline, multiply_baseline},
};
enum { SET_COUNT = sizeof SETS / sizeof *SETS };

static int has_set(int number) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (number == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
    if (number == 1) return __builtin_cpu_supports("avx2");
#endif
    return number == SET_COUNT - 1;
}

/* Name of an instruction set by number, from the best; NULL after the last, "" where the processor lacks it. */
const char *linesmith_instruction_set(int number) {
    if (number < 0 || number >= SET_COUNT) return NULL;
    return has_set(number) ? SETS[number].name : "";
}

/* The product of `a`, [rows, k], and a packed kernel of n columns, its terms added in the order of k: `out`, [rows, n]. */
void linesmith_multiply(const float *a, int rows, int k, const float *w, int n, float *out, int set) {
    SETS[set].multiply(a, rows, k, w, n, out);
}

/* Give each row that is done the next request of the table, in the order of rows; returns how many are taken then. */
static int64_t assign_requests(const Network *net, const Block *block, const int64_t (*table)[5], int64_t count, int64_t taken) {
    size_t hidden = net->units * (net->integers ? sizeof(int16_t) : sizeof(float));
    for (int r = 0; r < block->rows; r++) {
        Row *row = block->row + r;
        if (!row->done || taken >= count) continue;
        *row = (Row){.acceptance = 1};
        memcpy(row, table[taken++], sizeof *table);
        for (int layer = 0; layer < net->layers; layer++) {
            memset((char *)block->hidden[layer] + r * hidden, 0, hidden);
            memset(block->cell[layer] + (size_t)r * net->units, 0, net->units * sizeof(float));
        }
        if (net->fields) begin_fields(net->fields, net->slots, block->field_state + (size_t)r * net->state_width);
    }
    return taken;
}

/* Draw and record the token of a row at work; `output` has a line of `rows` numbers for each kind of output. */
static void finish_step(const Network *net, const Draw *how, const Block *block, int r, float *logits, const int32_t *prefixes,
                        int64_t base, Exponentials exponentials, Scratch *scratch, int32_t *output) {
    Row *row = block->row + r;
    for (int i = 0; i < net->vocab; i++) logits[i] += net->logits_bias[i];
    int32_t given = -1;
    if (how->prefixed && row->prefix_position < row->prefix_length)
        given = prefixes[row->prefix_offset + row->prefix_position - base];
    int forced = given >= 0; /* a negative one stands for a field that is drawn */
    float share;
    int32_t token = draw_token(net, how, logits, row, exponentials, scratch, &share);
    if (forced) token = given;
    if (how->scored && forced)
        row->prefix_log_probability += log_probability(net, how, logits, token, exponentials, scratch);
    /* The end of a field that was drawn freely takes the row on as well. */
    if (how->prefixed) row->prefix_position += forced || token <= DELIMITER;
    if (net->transitions) {
        if (!forced) row->acceptance *= share;
        int32_t move = net->transitions[(size_t)row->automaton_state * net->vocab + token];
        row->automaton_state = move < 0 ? ~move : move; /* ~: forbidden, but a start string may hold it */
    }
    int ended = token == 0 || row->step + 1 >= row->token_limit;
    if (how->counts_characters) {
        row->characters += net->characters[token];
        ended |= row->characters > how->characters;
    }
    int kinds = 3;
    output[r] = ended ? token + (1 << 30) : token;
    output[block->rows + r] = row->step;
    output[2 * block->rows + r] = (int32_t)row->number;
    if (net->transitions) memcpy(output + kinds++ * block->rows + r, &row->acceptance, sizeof(float));
    if (how->scored) memcpy(output + kinds++ * block->rows + r, &row->prefix_log_probability, sizeof(float));
    row->done = ended;
    row->token = token;
    row->step++;
    if (net->fields && !ended)
        follow_fields(net->fields, net->slots, block->field_state + (size_t)r * net->state_width, token);
}

static void release(Scratch *scratch) {
    void *parts[] = {scratch->operand, scratch->fresh,  scratch->wide, scratch->logits,
                     scratch->weights, scratch->sorted, scratch->whole};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) free(parts[i]);
}

static int allocate(const Network *net, Scratch *scratch) {
    size_t states = sizeof(float) * TILE * net->units, tokens = net->vocab;
    *scratch = (Scratch){.operand = malloc(2 * states), .fresh = malloc(states)};
    scratch->wide = malloc(states);
    scratch->logits = malloc(sizeof(float) * TILE * tokens);
    scratch->weights = malloc(sizeof(float) * tokens);
    scratch->sorted = malloc(sizeof(float) * tokens);
    scratch->whole = malloc(sizeof(double) * tokens);
    return scratch->operand && scratch->fresh && scratch->wide && scratch->logits && scratch->weights && scratch->sorted &&
           scratch->whole;
}

/* Run some steps of a block.

   `table` has `count` requests. `prefixes` are the ids of start strings; the first one has the address `base`. `outputs` is
   [steps, kinds, rows]: token with 2³⁰ added where it ends its record, step, number of the request (−1: idle), and the bits of
   acceptance with masks, and of the prefix's log probability where they are scored. `set` is the number of an instruction set.
   Returns how many requests were taken; −1 where memory is short. */
int64_t linesmith_run(const Network *net, const Draw *how, const Block *block, const int64_t (*table)[5], int64_t count,
                      const int32_t *prefixes, int64_t base, int32_t steps, int32_t *outputs, int set) {
    Scratch scratch;
    int64_t taken = 0;
    int kinds = 3 + (net->transitions != NULL) + how->scored;
    const Set *use = SETS + set;
    if (!allocate(net, &scratch)) {
        release(&scratch);
        return -1;
    }
#if defined(__x86_64__)
    /* A library that was built for speed may have set this thread to round otherwise, or tiny numbers to 0. */
    unsigned int control = _mm_getcsr();
    _mm_setcsr(0x1F80);
#endif
    for (int step = 0; step < steps; step++, outputs += kinds * block->rows) {
        taken = assign_requests(net, block, table, count, taken);
        for (int first = 0; first < block->rows; first += TILE) {
            int busy = 0;
            for (int r = first; r < first + TILE; r++) busy += !block->row[r].done;
            if (busy) use->step_layers(net, block, first, &scratch);
            for (int r = first; r < first + TILE; r++) {
                if (!block->row[r].done)
                    finish_step(net, how, block, r, scratch.logits + (size_t)(r - first) * net->vocab, prefixes, base,
                                use->exponentials, &scratch, outputs);
                else
                    outputs[2 * block->rows + r] = -1;
            }
        }
    }
#if defined(__x86_64__)
    _mm_setcsr(control);
#endif
    release(&scratch);
    return taken;
}
