/* The layers of the network for one tile of rows. Included once for each instruction set, with these macros:

   NAME(x)    the function's name for the set
   TARGET     the attribute that lets the compiler use it
   VECTOR     a vector of 32-bit integers, WIDTH of them; LOAD, SPREAD, MULTIPLY_ADD and STORE work on it
   GROUP      rows that the inner loop of a product works on: as many as the registers hold the sums of

   Floats are multiplied and added separately, in the order of k, so that all sets, and NumPy, give the same bits. */

#define VECTORS (LANES / WIDTH)
#define EACH_ROW _Pragma("GCC unroll 12") for (int r = 0; r < GROUP; r++)
#define EACH_VECTOR _Pragma("GCC unroll 4") for (int v = 0; v < VECTORS; v++)
#define EACH_SUM EACH_ROW EACH_VECTOR

/* Add products of 16-bit integers: out[r, 0:16] += Σ a[r, k] · w[k, 0:16], for `count` values of k, a multiple of 16. Sums are exact.
   Lines of `a` are k numbers apart, those of `out` UNIT or `stride` numbers. `w` holds pairs of k: [count / 2][16][2]. */
static __attribute__((noinline)) TARGET void NAME(multiply_integers)(const int16_t *a, int k, int count, const int16_t *w,
                                                                     int32_t *out) {
    VECTOR sum[GROUP][VECTORS];
    EACH_SUM sum[r][v] = LOAD(out + r * UNIT + WIDTH * v);
    for (const int16_t *end = a + count; a < end;)
#pragma GCC unroll 4
        for (int pair = 0; pair < 4; pair++, a += 2, w += 2 * LANES) {
            VECTOR column[VECTORS];
            EACH_VECTOR column[v] = LOAD(w + 2 * WIDTH * v);
            EACH_ROW {
                int32_t both;
                memcpy(&both, a + (size_t)r * k, sizeof both);
                VECTOR operand = SPREAD(both);
                EACH_VECTOR sum[r][v] = MULTIPLY_ADD(sum[r][v], column[v], operand);
            }
        }
    EACH_SUM STORE(out + r * UNIT + WIDTH * v, sum[r][v]);
}

/* The same for floats. `w` is [k][16]. */
static __attribute__((noinline)) TARGET void NAME(multiply_floats)(const float *a, int k, int count, const float *w,
                                                                   float *out, int stride) {
    typedef float Floats __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
    Floats sum[GROUP][VECTORS];
    EACH_SUM sum[r][v] = *(const Floats *)(out + r * stride + WIDTH * v);
    for (const float *end = a + count; a < end;)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++, a++, w += LANES) {
            Floats column[VECTORS];
            EACH_VECTOR column[v] = *(const Floats *)(w + WIDTH * v);
            EACH_ROW EACH_VECTOR sum[r][v] += column[v] * a[(size_t)r * k];
        }
    EACH_SUM *(Floats *)(out + r * stride + WIDTH * v) = sum[r][v];
}

/* The product of `a`, [rows, k], and a packed kernel of n columns: out[rows, n]. Rows are a multiple of TILE, k and n of 16. */
static TARGET void NAME(multiply)(const float *a, int rows, int k, const float *w, int n, float *out) {
    memset(out, 0, sizeof(float) * rows * n);
    for (int panel = 0; panel < n / LANES; panel++)
        for (int row = 0; row < rows; row += GROUP)
            NAME(multiply_floats)(a + (size_t)row * k, k, k, w + (size_t)panel * LANES * k,
                                  out + (size_t)row * n + panel * LANES, n);
}

/* e^x for x in −limit … limit, limit ≤ 87, outside as at the ends; relative error 1e-7. */
static inline TARGET float NAME(exponential)(float x, float limit) {
    const float round = 12582912.0f; /* 1.5 · 2²³: adding it rounds to whole numbers */
    x = x < -limit ? -limit : x;
    x = x > limit ? limit : x;
    float shifted = x * 1.44269504f + round;
    float power = shifted - round;
    float r = (x - power * 0.693359375f) - power * -2.12194440e-4f; /* log 2 in two parts: the first product is exact */
    float sum = 0.0013933652f; /* Chebyshev's polynomial for (e^r − 1 − r) / r² */
    sum = sum * r + 0.008363182f;
    sum = sum * r + 0.041666467f;
    sum = sum * r + 0.16666576f;
    sum = sum * r + 0.5f;
    sum = sum * r + 1.0f;
    sum = sum * r + 1.0f;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits - 0x4B400000 + 127) * (1 << 23);
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return sum * scale;
}

/* e^x of each number, the same limit for all. */
static TARGET void NAME(exponentials)(const float *x, int count, float limit, float *found) {
    for (int i = 0; i < count; i++) found[i] = NAME(exponential)(x[i], limit);
}

/* Cell and hidden state of 16 units of each row of a tile, in loops whose turns do not wait for each other.

   sigmoid(x) = 1 / (1 + e^−x) and tanh(x) = (e^2x − 1) / (e^2x + 1), brought to one denominator for each state: divisions are
   slow. Beyond ±28 both are at their limits, and three such factors stay finite. `gates` is overwritten. */
static TARGET void NAME(update_units)(int units, float (*gates)[UNIT], float *cell, float *hidden) {
    const float most = 28.0f;
    _Alignas(64) float bounded[TILE][LANES];
    for (int r = 0; r < TILE; r++)
        for (int j = 0; j < LANES; j++) {
            gates[r][j] = -gates[r][j];
            gates[r][LANES + j] = -gates[r][LANES + j];
            gates[r][2 * LANES + j] = 2.0f * gates[r][2 * LANES + j];
            gates[r][3 * LANES + j] = -gates[r][3 * LANES + j];
        }
    NAME(exponentials)(&gates[0][0], TILE * UNIT, most, &gates[0][0]);
    for (int r = 0; r < TILE; r++)
        for (int j = 0; j < LANES; j++) {
            float *state = cell + (size_t)r * units + j;
            float candidate = gates[r][2 * LANES + j], forget = 1.0f + gates[r][LANES + j];
            float both = (1.0f + gates[r][j]) * (candidate + 1.0f);
            *state = (*state * both + (candidate - 1.0f) * forget) / (both * forget);
            bounded[r][j] = 2.0f * *state;
        }
    NAME(exponentials)(&bounded[0][0], TILE * LANES, most, &bounded[0][0]);
    for (int r = 0; r < TILE; r++)
        for (int j = 0; j < LANES; j++) {
            float both = (1.0f + gates[r][3 * LANES + j]) * (bounded[r][j] + 1.0f);
            hidden[(size_t)r * units + j] = (bounded[r][j] - 1.0f) / both;
        }
}

/* Add the first layer's input to 64 gates of a row: a sum of rows of the table, or the bias of another layer. */
static inline TARGET void NAME(add_input)(const Network *net, const int32_t *looked_up, int layer, int panel, float *gates) {
    if (layer > 0) {
        const float *bias = net->biases[layer] + panel * UNIT;
        for (int j = 0; j < UNIT; j++) gates[j] += bias[j];
        return;
    }
    size_t width = (size_t)GATES * net->units, place = (size_t)panel * UNIT;
    if (net->integers) {
        int32_t sum[UNIT] = {0};
        for (int slot = 0; slot < net->slots; slot++) {
            const int16_t *line = (const int16_t *)net->table + looked_up[slot] * width + place;
            for (int j = 0; j < UNIT; j++) sum[j] += line[j];
        }
        for (int j = 0; j < UNIT; j++) gates[j] += (float)sum[j] * net->table_scale[place + j];
        return;
    }
    float sum[UNIT] = {0};
    for (int slot = 0; slot < net->slots; slot++) {
        const float *line = (const float *)net->table + looked_up[slot] * width + place;
        for (int j = 0; j < UNIT; j++) sum[j] += line[j];
    }
    for (int j = 0; j < UNIT; j++) gates[j] += sum[j];
}

/* The products of one panel of units for a tile, as floats: gates[TILE, 64]. A part of a panel of 16 columns stays in the first
   cache while all rows are multiplied by it. */
static TARGET void NAME(multiply_panel)(const Network *net, int layer, int panel, const void *operand, int k,
                                        float (*gates)[UNIT]) {
    _Alignas(64) int32_t sums[TILE][UNIT];
    memset(net->integers ? (void *)sums : (void *)gates, 0, sizeof sums);
    for (int gate = 0; gate < GATES; gate++)
        for (int first = 0; first < k; first += PART) {
            size_t place = (size_t)(panel * GATES + gate) * LANES * k + (size_t)first * LANES;
            int count = k - first < PART ? k - first : PART;
            for (int row = 0; row < TILE; row += GROUP) {
                size_t line = (size_t)row * k + first;
                if (net->integers)
                    NAME(multiply_integers)((const int16_t *)operand + line, k, count,
                                            (const int16_t *)net->kernels[layer] + place, &sums[row][gate * LANES]);
                else
                    NAME(multiply_floats)((const float *)operand + line, k, count,
                                          (const float *)net->kernels[layer] + place, &gates[row][gate * LANES], UNIT);
            }
        }
    if (!net->integers) return;
    const float *scale = net->scales[layer] + panel * UNIT;
    for (int row = 0; row < TILE; row++)
        for (int j = 0; j < UNIT; j++) gates[row][j] = (float)sums[row][j] * scale[j];
}

/* Round a hidden state to an operand of integers. */
static inline TARGET void NAME(quantize)(const float *hidden, int16_t *operand) {
    for (int j = 0; j < LANES; j++) {
        float shifted = hidden[j] * STEPS_OF_ONE + 12582912.0f; /* rounds, as in `exponential` */
        int32_t bits;
        memcpy(&bits, &shifted, sizeof bits);
        operand[j] = (int16_t)(bits - 0x4B400000);
    }
}

/* One layer for a tile: `operand` is [TILE, k]; fills `fresh` and `wide`. */
static TARGET void NAME(layer)(const Network *net, const Block *block, int first, int layer, const void *operand, int k,
                               Scratch *scratch) {
    _Alignas(64) float gates[TILE][UNIT];
    int units = net->units;
    for (int panel = 0; panel < units / LANES; panel++) {
        size_t place = (size_t)panel * LANES;
        NAME(multiply_panel)(net, layer, panel, operand, k, gates);
        for (int r = 0; r < TILE; r++) {
            const int32_t *looked_up = net->fields ? block->field_state + (size_t)(first + r) * net->state_width
                                                   : &block->row[first + r].token;
            NAME(add_input)(net, looked_up, layer, panel, gates[r]);
        }
        NAME(update_units)(units, gates, block->cell[layer] + (size_t)first * units + place, scratch->wide + place);
        if (!net->integers) continue;
        for (int r = 0; r < TILE; r++)
            NAME(quantize)(scratch->wide + (size_t)r * units + place, (int16_t *)scratch->fresh + (size_t)r * units + place);
    }
}

/* All layers for the rows first … first + TILE − 1: their states are updated, their logits without bias are in `scratch`. */
static TARGET void NAME(step_layers)(const Network *net, const Block *block, int first, Scratch *scratch) {
    size_t units = net->units, size = net->integers ? sizeof(int16_t) : sizeof(float), bytes = units * size;
    for (int layer = 0; layer < net->layers; layer++) {
        char *hidden = (char *)block->hidden[layer] + first * bytes;
        if (layer == 0) {
            NAME(layer)(net, block, first, layer, hidden, net->units, scratch);
        } else { /* what the layer below has just written, and the layer's own state */
            for (int r = 0; r < TILE; r++) {
                char *line = (char *)scratch->operand + 2 * r * bytes;
                const char *below = (const char *)block->hidden[layer - 1] + (first + r) * bytes;
                memcpy(line, below, bytes);
                memcpy(line + bytes, hidden + r * bytes, bytes);
            }
            NAME(layer)(net, block, first, layer, scratch->operand, 2 * net->units, scratch);
        }
        memcpy(hidden, net->integers ? scratch->fresh : (void *)scratch->wide, TILE * bytes);
    }
    NAME(multiply)(scratch->wide, TILE, net->units, net->logits_kernel, net->vocab, scratch->logits);
}

#undef VECTORS
#undef EACH_ROW
#undef EACH_VECTOR
#undef EACH_SUM
