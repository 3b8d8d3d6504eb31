/* Drawing a token from the logits of a row: masks, truncation, inverse of the distribution, scores.

   Weights are rounded to whole numbers of 2⁻³², whose sums are exact in any order. */

typedef void (*Exponentials)(const float *, int, float, float *);

static const float LIMIT = 87.0f; /* of exponents: e^88.8 is no float */

static const double ONE = 4294967296.0;     /* the whole number that a weight of 1 is rounded to */
static const double ROUND = 4503599627370496.0; /* 2⁵²: adding it rounds to whole numbers */
static const float LARGEST = 1e37f;         /* no number that matters is larger */

static inline float least_of(float a, float b) { return a < b ? a : b; }

static inline double whole(float weight) { return ((double)weight * ONE + ROUND) - ROUND; }

static uint64_t mix(uint64_t bits) { /* SplitMix64 */
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9u;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBu;
    return bits ^ (bits >> 31);
}

/* The 24 bits of `uniform_random.uniforms` for a step of a stream. */
static uint64_t uniform(int64_t key, int32_t step) {
    return mix((uint64_t)key + ((uint64_t)step + 1) * 0x9E3779B97F4A7C15u) >> 40;
}

/* log x by fixed operations, for x ≥ 1; relative error 1e-15. */
static double logarithm(double x) {
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int64_t power = (bits >> 52) - 1023;
    bits -= power * ((int64_t)1 << 52);
    double mantissa;
    memcpy(&mantissa, &bits, sizeof mantissa);
    double t = (mantissa - 1.0) / (mantissa + 1.0), square = t * t, sum = 0.0;
    for (int n = 31; n > 0; n -= 2) sum = sum * square + 1.0 / n;
    return (double)power * 0.6931471805599453 + 2.0 * t * sum;
}

static int falling(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* Set the unlikely tail of the weights to 0: all but the k likeliest, then all but the fewest that hold the share p. Those as
   likely as the last one kept are kept. */
static void truncate_weights(const Draw *how, int count, float *weights, float *sorted) {
    int used = 0, kept = 0;
    for (int i = 0; i < count; i++)
        if (weights[i] > 0) sorted[used++] = weights[i];
    qsort(sorted, used, sizeof *sorted, falling);
    if (how->top_k > 0 && how->top_k < used) used = how->top_k;
    double total = 0, before = 0;
    for (int i = 0; i < used; i++) total += whole(sorted[i]);
    for (; kept < used && before < (double)how->top_p * total; kept++) before += whole(sorted[kept]);
    float least = kept > 0 ? sorted[kept - 1] : LARGEST;
    for (int i = 0; i < count; i++)
        if (weights[i] < least) weights[i] = 0;
}

/* The first token at which the running sum passes u × total. */
static int32_t token_at(const double *wholes, int count, double total, uint64_t uniform) {
    uint64_t all = (uint64_t)total, high = all >> 24, low = all & 0xFFFFFF;
    double threshold = (double)(uniform * high + ((uniform * low) >> 24)), running = 0;
    for (int i = 0; i < count; i++) {
        running += wholes[i];
        if (running > threshold) return i;
    }
    return count - 1; /* not reached: the threshold is below the total */
}

/* Log probability of a token without masks; 0 of one that is never drawn. Logits have their bias. */
static float log_probability(const Network *net, const Draw *how, const float *logits, int32_t token, Exponentials exponentials,
                             Scratch *scratch) {
    float largest = -LARGEST;
    for (int i = 0; i < net->vocab; i++) {
        scratch->sorted[i] = least_of(logits[i] * how->inverse_temperature, LARGEST);
        if (scratch->sorted[i] > largest) largest = scratch->sorted[i];
    }
    float own = scratch->sorted[token];
    if (!(own > -LARGEST)) return 0;
    for (int i = 0; i < net->vocab; i++) scratch->sorted[i] -= largest;
    exponentials(scratch->sorted, net->vocab, LIMIT, scratch->weights);
    double total = 0;
    for (int i = 0; i < net->vocab; i++) total += whole(scratch->weights[i]);
    return own - (largest + (float)logarithm(total / ONE));
}

/* The likeliest token that may be drawn; the first of equals. */
static int32_t likeliest(const float *logits, const int32_t *moves, int count) {
    int32_t best = -1;
    for (int32_t i = 0; i < count; i++)
        if ((moves == NULL || moves[i] >= 0) && (best < 0 || logits[i] > logits[best])) best = i;
    return best < 0 ? 0 : best;
}

/* Draw a token; `share` becomes the share of the probability that the masks leave. */
static int32_t draw_token(const Network *net, const Draw *how, const float *logits, const Row *row, Exponentials exponentials,
                          Scratch *scratch, float *share) {
    const int32_t *moves = net->transitions ? net->transitions + (size_t)row->automaton_state * net->vocab : NULL;
    float *weights = scratch->weights, *scaled = scratch->sorted;
    *share = 1;
    if (how->greedy) {
        int32_t best = likeliest(logits, moves, net->vocab);
        *share = best == likeliest(logits, NULL, net->vocab);
        return best;
    }
    float best = -LARGEST, best_forbidden = -LARGEST;
    for (int i = 0; i < net->vocab; i++) {
        scaled[i] = least_of(logits[i] * how->inverse_temperature, LARGEST);
        float *largest = moves == NULL || moves[i] >= 0 ? &best : &best_forbidden;
        if (scaled[i] > *largest) *largest = scaled[i];
    }
    /* Relative to the best of their own kind, no weight is above 1. */
    for (int i = 0; i < net->vocab; i++) scaled[i] -= moves == NULL || moves[i] >= 0 ? best : best_forbidden;
    exponentials(scaled, net->vocab, LIMIT, weights);
    if (moves) {
        double allowed = 0, forbidden = 0;
        for (int i = 0; i < net->vocab; i++) {
            double number = whole(weights[i]);
            if (moves[i] >= 0)
                allowed += number;
            else {
                forbidden += number;
                weights[i] = 0;
            }
        }
        float more = best_forbidden - best, factor;
        exponentials(&more, 1, LIMIT, &factor);
        *share = 1.0f / (1.0f + least_of((float)(forbidden / allowed) * factor, LARGEST));
    }
    if (how->truncated) truncate_weights(how, net->vocab, weights, scratch->sorted);
    double total = 0;
    for (int i = 0; i < net->vocab; i++) total += scratch->whole[i] = whole(weights[i]);
    return token_at(scratch->whole, net->vocab, total, uniform(row->key, row->step));
}
