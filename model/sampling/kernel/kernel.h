/* What the Python side and both files of the kernel share. `structures.py` declares the same structures. */

#ifndef LINESMITH_KERNEL_H
#define LINESMITH_KERNEL_H

#include <stddef.h>
#include <stdint.h>

enum {
    LANES = 16,              /* every width is padded to a multiple of it; kernels are stored in panels of so many columns */
    GATES = 4,               /* in Keras' order: input, forget, candidate, output */
    UNIT = GATES * LANES,    /* columns of a panel of units: the gates of 16 units side by side */
    PART = 256,              /* rows of a kernel that are multiplied at a time */
    TILE = 48                /* rows that go through a whole step together, so that their states stay in the cache */
};

typedef struct { /* per row; the first five are a line of the request table */
    int64_t key, number, prefix_offset, prefix_length, token_limit;
    int32_t done, token, step, automaton_state, characters, prefix_position;
    float acceptance, prefix_log_probability;
} Row;

typedef struct { /* of `FieldLayout`; F known fields, P slots of parents, K fields that are looked up by value */
    int32_t fields, parents, values, memory, first_token, vocab;
    const int32_t *parent, *pair_start, *pair_width; /* [F + 1, P] */
    const int32_t *value_start, *value_buckets;      /* [F + 1, K] */
    const int32_t *position_start, *last_position;   /* [F + 1] */
    const int32_t *aligned_index;                    /* [F + 1, vocab + 2] */
    const int32_t *digit_value;                      /* [vocab] */
    const int32_t *value_field, *value_multiplier;   /* [K] */
} Fields;

typedef struct {
    int32_t layers, units, vocab; /* padded */
    int32_t integers;             /* products of integers, not of floats */
    int32_t slots;                /* rows of the table that make up an input */
    int32_t state_width;          /* numbers per row that follow its fields */
    const void *table;            /* [rows, 4 · units], int16 or float, in panels of units */
    const float *table_scale;     /* [4 · units], with integers */
    const void *const *kernels;   /* per layer, packed, int16 or float */
    const float *const *scales;   /* per layer, [4 · units], with integers */
    const float *const *biases;   /* per layer, [4 · units]; the first one's is part of the table */
    const float *logits_kernel;   /* packed */
    const float *logits_bias;     /* [vocab]; −inf: never drawn */
    const int32_t *transitions;   /* [S, vocab], or NULL without masks */
    const int32_t *characters;    /* that each token begins, [vocab] */
    const Fields *fields;         /* NULL: a plain network */
} Network;

typedef struct {
    int32_t greedy, truncated, counts_characters, prefixed, scored;
    int32_t characters, top_k; /* limits; 0: none */
    float inverse_temperature, top_p;
} Draw;

typedef struct {
    int32_t rows; /* a multiple of TILE */
    Row *row;
    int32_t *field_state; /* [rows, state_width] */
    void **hidden;        /* per layer, [rows, units], int16 or float */
    float **cell;         /* per layer, [rows, units] */
} Block;

typedef struct { /* of one tile */
    void *operand;   /* [TILE, 2 · units] */
    void *fresh;     /* the new hidden state, [TILE, units], as an operand */
    float *wide;     /* the same as floats */
    float *logits;   /* [TILE, vocab] */
    float *weights, *sorted; /* [vocab] each */
    double *whole;   /* [vocab] */
} Scratch;

#define FAR 2
#define HASH_MODULUS 65521
#define STEPS_OF_ONE 127.0f /* quantization steps from 0 to 1 */

#endif
