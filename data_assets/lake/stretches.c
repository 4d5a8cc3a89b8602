/*
 * Rows put in order a stretch at a time: `stretches.py` says what a stretch is, and which columns are taken.
 */

#include <stdint.h>
#include <string.h>

struct column {
    const char *values;
    int64_t size; /* of each of them, in bytes */
};

struct range {
    int64_t frame;
    int64_t start;
    int64_t rows;
};

struct moved {
    const char *const *frames; /* where this column begins in each of them */
    char *to;
    int64_t size;
};

static int differs(const struct column *column, int64_t row) {
    const char *at = column->values + row * column->size;
    switch (column->size) { /* of a size that the compiler knows, a comparison is an instruction or two */
    case 1: return memcmp(at, at - 1, 1) != 0;
    case 2: return memcmp(at, at - 2, 2) != 0;
    case 4: return memcmp(at, at - 4, 4) != 0;
    case 8: return memcmp(at, at - 8, 8) != 0;
    case 16: return memcmp(at, at - 16, 16) != 0;
    default: return memcmp(at, at - column->size, (size_t)column->size) != 0;
    }
}

/*
 * Write the first row of each stretch, in their order: of rows that agree in every column, and whose `last` does not go
 * back. There is room for `most`. Return how many there are, or -1 if they are more.
 */
int64_t find_stretches(const struct column *columns, int64_t width, const int64_t *last, int64_t rows, int64_t most,
                       int64_t *starts) {
    int64_t found = 0;
    for (int64_t row = 0; row < rows; row++) {
        int begins = row == 0 || last[row] < last[row - 1];
        for (int64_t i = 0; i < width && !begins; i++) begins = differs(&columns[i], row);
        if (!begins) continue;
        if (found == most) return -1;
        starts[found++] = row;
    }
    return found;
}

/* Copy ranges of rows, one after another, to where each column has room for them. */
void copy_ranges(const struct range *ranges, int64_t count, const struct moved *columns, int64_t width) {
    for (int64_t i = 0; i < width; i++) {
        char *to = columns[i].to;
        for (int64_t of = 0; of < count; of++) {
            const struct range *range = &ranges[of];
            size_t bytes = (size_t)(range->rows * columns[i].size);
            memcpy(to, columns[i].frames[range->frame] + range->start * columns[i].size, bytes);
            to += bytes;
        }
    }
}
