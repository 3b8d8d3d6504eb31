/* Sums of decision trees (model/discriminator/trees.py), in whole numbers, which are exact in any order. */

typedef struct {
    int32_t columns, trees;
    const int32_t *feature, *left, *right, *roots;
    const double *threshold;
    const uint8_t *missing_left;
    const int64_t *value;
} Trees;

/* Write the sum of the leaves that each row of `matrix`, [rows, columns], comes to; a leaf follows itself. */
void linesmith_score_trees(const Trees *trees, const double *matrix, int64_t rows, int64_t *out) {
    for (int64_t r = 0; r < rows; r++) {
        const double *row = matrix + r * trees->columns;
        int64_t sum = 0;
        for (int t = 0; t < trees->trees; t++) {
            int32_t node = trees->roots[t];
            for (;;) {
                double number = row[trees->feature[node]];
                int goes_left = number != number ? trees->missing_left[node] : number <= trees->threshold[node];
                int32_t next = goes_left ? trees->left[node] : trees->right[node];
                if (next == node) break;
                node = next;
            }
            sum += trees->value[node];
        }
        out[r] = sum;
    }
}
