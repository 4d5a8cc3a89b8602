/*
 * A column's values as places in a dictionary of them: `dictionary_places.py` says what for, and which are taken.
 */

#include <stdint.h>
#include <string.h>

struct piece {
    const void *values;
    int64_t rows;
};

enum { FIRST_BITS = 10, BLOCK = 8, MOST_BLOCKS = 63 };

static inline uint64_t slot_of(uint64_t value, int bits) { return value * UINT64_C(0x9E3779B97F4A7C15) >> (64 - bits); }

/*
 * Write the distinct values in the order in which they come, and the place of each row's among them. Return how many
 * there are. A slot holds the place of a value, counted from 1. No more than a quarter of them is in use, so there are
 * eight for each row, or as many as at first.
 */
#define FIND_PLACES(name, value, stored, as_bits)                                                                      \
    static void name##_grow(const stored *distinct, uint32_t found, uint32_t *slots, int bits) {                      \
        uint64_t mask = (UINT64_C(1) << bits) - 1;                                                                     \
        memset(slots, 0, sizeof *slots << bits);                                                                       \
        for (uint32_t place = 0; place < found; place++) {                                                             \
            uint64_t slot = slot_of((as_bits)distinct[place], bits);                                                   \
            while (slots[slot]) slot = (slot + 1) & mask;                                                              \
            slots[slot] = place + 1;                                                                                   \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    static uint32_t name(const struct piece *pieces, int64_t count, stored *distinct, uint32_t *slots,                \
                         uint32_t *places) {                                                                           \
        int bits = FIRST_BITS;                                                                                         \
        uint32_t found = 0;                                                                                            \
        name##_grow(distinct, 0, slots, bits);                                                                         \
        for (const struct piece *piece = pieces; piece < pieces + count; places += piece++->rows) {                    \
            const value *values = piece->values;                                                                       \
            for (int64_t row = 0; row < piece->rows; row++) {                                                          \
                if (row && row % BLOCK == 0 && row + BLOCK <= piece->rows) { /* all as the last one once more? */      \
                    value others = 0;                                                                                  \
                    for (int i = 0; i < BLOCK; i++) others |= values[row + i] ^ values[row - 1];                       \
                    if (!others) {                                                                                     \
                        for (int i = 0; i < BLOCK; i++) places[row + i] = places[row - 1];                             \
                        row += BLOCK - 1;                                                                              \
                        continue;                                                                                      \
                    }                                                                                                  \
                }                                                                                                      \
                stored wanted = (stored)values[row];                                                                   \
                uint64_t slot = slot_of((as_bits)wanted, bits), mask = (UINT64_C(1) << bits) - 1;                      \
                while (slots[slot] && distinct[slots[slot] - 1] != wanted) slot = (slot + 1) & mask;                   \
                if (slots[slot]) {                                                                                     \
                    places[row] = slots[slot] - 1;                                                                     \
                    continue;                                                                                          \
                }                                                                                                      \
                places[row] = found;                                                                                   \
                distinct[found++] = wanted;                                                                            \
                slots[slot] = found;                                                                                   \
                if (found >> (bits - 2)) name##_grow(distinct, found, slots, ++bits);                                  \
            }                                                                                                          \
        }                                                                                                              \
        return found;                                                                                                  \
    }

FIND_PLACES(find_16, int16_t, int32_t, uint32_t)
FIND_PLACES(find_32, uint32_t, uint32_t, uint32_t)
FIND_PLACES(find_64, uint64_t, uint64_t, uint64_t)

/* The same of values of `size` bytes; of 2, they are numbers with a sign, of which a file has those of 4. */
uint32_t find_places(const struct piece *pieces, int64_t count, int64_t size, void *distinct, uint32_t *slots,
                     uint32_t *places) {
    switch (size) {
    case 2: return find_16(pieces, count, distinct, slots, places);
    case 4: return find_32(pieces, count, distinct, slots, places);
    default: return find_64(pieces, count, distinct, slots, places);
    }
}

static uint8_t *put_number(uint8_t *to, uint64_t number) {
    for (; number > 127; number >>= 7) *to++ = (uint8_t)(number | 128);
    *to++ = (uint8_t)number;
    return to;
}

static int are_the_same(const uint32_t *places, int64_t rows) {
    uint32_t others = 0;
    for (int64_t row = 1; row < rows; row++) others |= places[row] ^ places[0];
    return !others;
}

/* Eight places, one behind the other, of so many bits each; up to 16 bytes are written. */
static uint8_t *put_packed(uint8_t *to, const uint32_t *places, int bits) {
    if (bits <= 16) {
        uint64_t first = 0, second = 0;
        for (int i = 0; i < BLOCK / 2; i++) {
            first |= (uint64_t)places[i] << i * bits;
            second |= (uint64_t)places[BLOCK / 2 + i] << i * bits;
        }
        int half = BLOCK / 2 * bits;
        if (half < 64) first |= second << half;
        if (half > 32) second >>= 64 - half;
        memcpy(to, &first, sizeof first);
        memcpy(to + sizeof first, &second, sizeof second);
        return to + bits;
    }
    uint64_t held = 0;
    int holds = 0;
    for (int i = 0; i < BLOCK; i++) {
        held |= (uint64_t)places[i] << holds;
        for (holds += bits; holds >= 8; holds -= 8, held >>= 8) *to++ = (uint8_t)held;
    }
    return to;
}

/*
 * Write the places in Parquet's hybrid of runs and bits: a run of 8 or more equal ones is told once, others are packed 8
 * at a time. Return how many bytes these are; there is room for 5 a row and 64 more.
 */
int64_t pack_places(const uint32_t *places, int64_t rows, int64_t bits, uint8_t *out) {
    uint8_t *to = out, *packed = NULL; /* where it will be said how many blocks are packed behind it */
    int blocks = 0;
    for (int64_t row = 0; row < rows;) {
        int64_t left = rows - row, here = left < BLOCK ? left : BLOCK;
        if ((here == BLOCK || packed == NULL) && are_the_same(places + row, here)) {
            while (here < left && places[row + here] == places[row]) here++;
            if (packed != NULL) *packed = (uint8_t)(blocks << 1 | 1);
            packed = NULL;
            to = put_number(to, (uint64_t)here << 1);
            for (int64_t shift = 0; shift < bits; shift += 8) *to++ = (uint8_t)(places[row] >> shift);
        } else {
            uint32_t block[BLOCK] = {0};
            memcpy(block, places + row, (size_t)here * sizeof *block);
            if (packed == NULL) packed = to++, blocks = 0;
            to = put_packed(to, block, (int)bits);
            if (++blocks == MOST_BLOCKS || here == left) {
                *packed = (uint8_t)(blocks << 1 | 1);
                packed = NULL;
            }
        }
        row += here;
    }
    return to - out;
}
