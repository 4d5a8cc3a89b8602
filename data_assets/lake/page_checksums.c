/*
 * The pages of column chunks compared with their checksums: `page_checksums.py` says what they are compared with.
 *
 * A header must be spelled in the one way in which the lake's are. At the first that is not, and at the first page or
 * sum that is not what is said of it, all of the chunks are declined, and a general reader decides on them, or says
 * what is wrong. So nothing is decided here about what is odd, and nothing holds here that would not hold there.
 *
 * No read is out of bounds, whatever the bytes are: each is behind a comparison with the chunk's end.
 */

#include <stdint.h>

struct chunk { /* what the footer says of it; also, while it is read, what is left of that */
    int64_t start;
    int64_t end;
    int64_t values;
    int64_t decompressed;
    int64_t width; /* of each value in bytes; 0 where they have several */
    int64_t dictionaries;
    int64_t pages_of_values;
    int64_t pages_of_places;
};

struct bytes {
    const uint8_t *at;
    const uint8_t *end;
};

/* Of Thrift: a field's type, and above it how far its number is from that of the field before. */
enum { TRUE = 1, FALSE = 2, I64 = 6, BINARY = 8, STEP = 16, NEXT_I32 = 0x15, NEXT_FALSE = 0x12, NEXT_STRUCT = 0x1C };
enum { OF_DATA = NEXT_STRUCT, OF_DICTIONARY = 0x3C }; /* the fifth and the seventh field, behind the fourth */

enum { DATA_PAGE = 0, DICTIONARY_PAGE = 2, PLAIN = 0, RLE = 3, RLE_DICTIONARY = 8 }; /* of parquet.thrift */

enum { SLICE = 16, BYTES = 256 };

/*
 * What each byte leaves of the CRC-32 when so many others follow, so that a slice of them is looked up at once. Each
 * call makes its own, in the time that ten kilobytes of pages take, and no thread waits for another.
 */
typedef uint32_t remainders[SLICE][BYTES];

static void make_remainders(remainders of) {
    for (uint32_t byte = 0; byte < BYTES; byte++) {
        uint32_t remainder = byte;
        for (int bit = 0; bit < 8; bit++) remainder = remainder >> 1 ^ (remainder & 1 ? UINT32_C(0xEDB88320) : 0);
        of[0][byte] = remainder;
    }
    for (int behind = 1; behind < SLICE; behind++) {
        for (int byte = 0; byte < BYTES; byte++) {
            uint32_t before = of[behind - 1][byte];
            of[behind][byte] = before >> 8 ^ of[0][before & 255];
        }
    }
}

static uint32_t checksum_of(const uint8_t *at, uint32_t size, remainders of) {
    uint32_t found = UINT32_MAX;
    for (; size >= SLICE; size -= SLICE, at += SLICE) {
        uint32_t next = 0;
        for (int i = 0; i < 4; i++) next ^= of[SLICE - 1 - i][at[i] ^ (found >> 8 * i & 255)];
        for (int i = 4; i < SLICE; i++) next ^= of[SLICE - 1 - i][at[i]];
        found = next;
    }
    for (; size > 0; size--, at++) found = found >> 8 ^ of[0][(found ^ *at) & 255];
    return ~found;
}

static int read_byte(struct bytes *from, uint8_t *byte) {
    if (from->at == from->end) return 0;
    *byte = *from->at++;
    return 1;
}

static int is_next(struct bytes *from, uint8_t expected) {
    uint8_t found;
    return read_byte(from, &found) && found == expected;
}

/* A number of up to 32 bits; longer ones are declined. */
static int read_varint(struct bytes *from, uint32_t *value) {
    uint64_t found = 0;
    uint8_t byte;
    for (int shift = 0; shift < 35; shift += 7) {
        if (!read_byte(from, &byte)) return 0;
        found |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return *value = (uint32_t)found, found <= UINT32_MAX;
    }
    return 0;
}

/* The field of 32 bits that is next, as its bits: the sign is the lowest one of what is written. */
static int read_next(struct bytes *from, uint32_t *bits) {
    uint32_t zigzag;
    if (!is_next(from, NEXT_I32) || !read_varint(from, &zigzag)) return 0;
    *bits = zigzag >> 1 ^ (zigzag & 1 ? UINT32_MAX : 0);
    return 1;
}

/* The same of one that is not negative. */
static int read_count(struct bytes *from, uint32_t *count) { return read_next(from, count) && *count <= INT32_MAX; }

static int is_next_count(struct bytes *from, uint32_t expected) {
    uint32_t found;
    return read_count(from, &found) && found == expected;
}

/* The bounds that a header may say of the page's values, which nobody looks at: flags, numbers and texts. */
static int skip_bounds(struct bytes *from) {
    uint8_t head;
    uint32_t number;
    while (read_byte(from, &head)) {
        if (head == 0) return 1;
        if (head < STEP) return 0;
        switch (head % STEP) {
        case TRUE:
        case FALSE: break;
        case I64:
            if (!read_varint(from, &number)) return 0;
            break;
        case BINARY:
            if (!read_varint(from, &number) || number > from->end - from->at) return 0;
            from->at += number;
            break;
        default: return 0;
        }
    }
    return 0;
}

/* What is left of a sum; none may be taken that is not left, so that no sum is too large for its type. */
static int take(int64_t *left, int64_t count) {
    if (count > *left) return 0;
    *left -= count;
    return 1;
}

static int read_of_data(struct bytes *from, struct chunk *left) {
    uint32_t values, encoding;
    uint8_t next;
    if (!read_count(from, &values) || !take(&left->values, values)) return 0;
    if (!read_count(from, &encoding) || (encoding != PLAIN && encoding != RLE_DICTIONARY)) return 0;
    if (!take(encoding == PLAIN ? &left->pages_of_values : &left->pages_of_places, 1)) return 0;
    if (!is_next_count(from, RLE) || !is_next_count(from, RLE) || !read_byte(from, &next)) return 0;
    return next == 0 || (next == NEXT_STRUCT && skip_bounds(from) && is_next(from, 0));
}

static int read_of_dictionary(struct bytes *from, struct chunk *left, uint32_t full) {
    uint32_t values;
    if (!take(&left->dictionaries, 1) || !read_count(from, &values)) return 0;
    if (left->width && (full % left->width || full / left->width != values)) return 0;
    return is_next_count(from, PLAIN) && is_next(from, NEXT_FALSE) && is_next(from, 0);
}

static int page_holds(struct bytes *from, struct chunk *left, int is_first, remainders of) {
    const uint8_t *header = from->at;
    uint32_t kind, full, size, checksum;
    uint8_t said;
    if (!read_count(from, &kind) || !read_count(from, &full) || !read_count(from, &size)) return 0;
    if (!read_next(from, &checksum) || !read_byte(from, &said)) return 0;
    if (kind == DATA_PAGE && said == OF_DATA) {
        if (!read_of_data(from, left)) return 0;
    } else if (kind == DICTIONARY_PAGE && said == OF_DICTIONARY && is_first) {
        if (!read_of_dictionary(from, left, full)) return 0;
    } else {
        return 0;
    }
    if (!is_next(from, 0) || size > from->end - from->at) return 0;
    if (!take(&left->decompressed, from->at - header) || !take(&left->decompressed, full)) return 0;
    if (checksum_of(from->at, size, of) != checksum) return 0;
    from->at += size;
    return 1;
}

static int chunk_holds(const uint8_t *data, int64_t size, struct chunk left, remainders of) {
    if (left.start < 0 || left.start > left.end || left.end > size) return 0;
    struct bytes from = {data + left.start, data + left.end};
    for (int is_first = 1; from.at != from.end; is_first = 0) {
        if (!page_holds(&from, &left, is_first, of)) return 0;
    }
    int64_t pages = left.dictionaries | left.pages_of_values | left.pages_of_places;
    return left.values == 0 && left.decompressed == 0 && pages == 0;
}

/* Whether all the chunks in so many bytes are pages of the lake's form, each with its checksum, and add up. */
int pages_hold(const uint8_t *data, int64_t size, const struct chunk *chunks, int64_t count) {
    remainders of;
    make_remainders(of);
    for (int64_t i = 0; i < count; i++) {
        if (!chunk_holds(data, size, chunks[i], of)) return 0;
    }
    return 1;
}
