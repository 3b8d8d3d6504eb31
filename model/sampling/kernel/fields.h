/* What a row remembers of its record's fields, and the rows of the table that make up its next input: the same as
   `linesmith.model.fields.inputs`, one token at a time. */

enum { NO_TOKEN = -2, END_OF_FIELD = -1, DELIMITER = 1 };

typedef struct { /* where each part of a row's numbers begins */
    int32_t *looked_up, *relation, *aligned, *hash, *bounds, *text, *count, *number, *offset;
} FieldState;

static FieldState field_state(const Fields *fields, int slots, int32_t *numbers) {
    FieldState state = {.looked_up = numbers};
    state.relation = numbers + slots;
    state.aligned = state.relation + fields->parents;
    state.hash = state.aligned + fields->parents;
    state.bounds = state.hash + fields->values;
    state.count = state.bounds + fields->fields + 1; /* tokens of text so far */
    state.number = state.count + 1;                  /* delimiters so far */
    state.offset = state.count + 2;                  /* tokens of text in the current field */
    state.text = state.count + 3;
    return state;
}

static int32_t between(int32_t low, int32_t value, int32_t high) { return value < low ? low : value > high ? high : value; }

/* The token of a parent at the row's offset. */
static int32_t aligned_token(const Fields *fields, const FieldState *state, int32_t parent) {
    if (parent < 0) return NO_TOKEN;
    int32_t start = state->bounds[parent], length = state->bounds[parent + 1] - start, place = start + *state->offset;
    if (*state->offset > length) return NO_TOKEN;
    if (*state->offset == length) return END_OF_FIELD;
    return place < fields->memory ? state->text[place] : NO_TOKEN;
}

/* Find the rows of the table for the next step, after `token`. */
static void look_up(const Fields *fields, const FieldState *state, int32_t token) {
    int32_t field = between(0, *state->number, fields->fields), *found = state->looked_up;
    *found++ = token;
    int32_t last = fields->last_position[field];
    *found++ = fields->position_start[field] + (*state->offset < last ? *state->offset : last);
    for (int p = 0; p < fields->parents; p++) {
        int place = field * fields->parents + p, parent = fields->parent[place];
        state->aligned[p] = aligned_token(fields, state, parent);
        int line = parent < 0 ? fields->fields : parent; /* the last line stands for no parent */
        int32_t index = fields->aligned_index[(size_t)line * (fields->vocab + 2) + state->aligned[p] + 2];
        *found++ = fields->pair_start[place] + index + (state->relation[p] + FAR) * fields->pair_width[place];
    }
    for (int v = 0; v < fields->values; v++) {
        int place = field * fields->values + v;
        *found++ = fields->value_start[place] + state->hash[v] % fields->value_buckets[place];
    }
}

static void begin_fields(const Fields *fields, int slots, int32_t *numbers) {
    FieldState state = field_state(fields, slots, numbers);
    *state.count = *state.number = *state.offset = 0;
    state.bounds[0] = 0;
    memset(state.relation, 0, sizeof(int32_t) * fields->parents);
    memset(state.hash, 0, sizeof(int32_t) * fields->values);
    look_up(fields, &state, 0);
}

static int32_t digit_of(const Fields *fields, int32_t token) { return token < 0 ? 0 : fields->digit_value[token]; }

static void follow_fields(const Fields *fields, int slots, int32_t *numbers, int32_t token) {
    FieldState state = field_state(fields, slots, numbers);
    if (token >= fields->first_token) {
        int32_t digit = fields->digit_value[token];
        for (int p = 0; p < fields->parents; p++) {
            int32_t relation = state.relation[p], other = digit_of(fields, state.aligned[p]); /* past its end a parent has zeros */
            if (relation <= -FAR || relation >= FAR) continue;
            if (digit >= 0 && other >= 0)
                state.relation[p] = between(-FAR, 10 * relation + digit - other, FAR);
            else if (state.aligned[p] != token)
                state.relation[p] = FAR;
        }
        int32_t remembered = *state.count < fields->memory ? token : NO_TOKEN;
        for (int v = 0; v < fields->values; v++)
            if (*state.number == fields->value_field[v])
                state.hash[v] = (state.hash[v] * fields->value_multiplier[v] + remembered + 3) % HASH_MODULUS;
        if (*state.count < fields->memory) state.text[*state.count] = token;
        ++*state.count;
        ++*state.offset;
    } else if (token == DELIMITER) {
        ++*state.number;
        if (*state.number <= fields->fields) state.bounds[*state.number] = *state.count;
        *state.offset = 0;
        memset(state.relation, 0, sizeof(int32_t) * fields->parents);
    }
    look_up(fields, &state, token);
}
