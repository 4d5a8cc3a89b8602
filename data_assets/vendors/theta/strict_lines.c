/*
 * Lines of Theta's CSV, read in one pass into the columns of an Arrow table: `strict_lines.py` says which, and why.
 *
 * Every field must be spelled in the one way that is known for its kind. At the first that is not, all of the lines are
 * declined, and a general reader reads them, or says what is wrong with them. So nothing is decided here about what is
 * odd, and nothing is read here that could be read in two ways.
 *
 * No read is out of bounds: the last byte is a line feed, and nothing but the end of a line passes over one.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

enum kind { SKIPPED, SYMBOL, RIGHT, DATE, INSTANT, PRICE, MODEL, LONG, SHORT };

struct column {
    int32_t kind;
    void *values; /* of RIGHT uint8 (0 CALL, 1 PUT), DATE int32, SHORT int16, the others 8 bytes; not of the first two */
};

struct asked {
    const char *symbol;
    int64_t symbol_length;
    const char *day;  /* YYYY-MM-DDT */
    int64_t midnight; /* the instant of that day's midnight, microseconds */
};

enum { DAY_LENGTH = 11, DATE_LENGTH = 10, CLOCK_LENGTH = 19, EXACT_DIGITS = 18, EXACT_SCALE = 22 };

static const uint64_t EXACT = 1ULL << 53; /* as large as a whole number may be of which a double holds every one */

static const double POWERS_OF_TEN[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static int is_digit(char c) { return (unsigned char)(c - '0') < 10; }

/* The number that two characters spell; -1 if they are not two digits. The second is not looked at if the first is none. */
static int two_digits(const char *at) {
    return is_digit(at[0]) && is_digit(at[1]) ? (at[0] - '0') * 10 + (at[1] - '0') : -1;
}

/* Append digits to a whole number; more of them than EXACT_DIGITS make a wrong one, and are counted. */
static const char *digits(const char *at, uint64_t *value, int64_t *count) {
    const char *start = at;
    while (is_digit(*at)) *value = *value * 10 + (uint64_t)(*at++ - '0');
    *count += at - start;
    return at;
}

static const char *read_symbol(const char *at, const char *end, const struct asked *asked) {
    if (end - at <= asked->symbol_length || memcmp(at, asked->symbol, (size_t)asked->symbol_length)) return NULL;
    return at + asked->symbol_length;
}

static const char *read_right(const char *at, const char *end, uint8_t *value) {
    if (end - at > 4 && !memcmp(at, "CALL", 4)) return *value = 0, at + 4;
    if (end - at > 3 && !memcmp(at, "PUT", 3)) return *value = 1, at + 3;
    return NULL;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar; a year begins in March here, so that the leap day ends it. */
static int32_t days_since_1970(int year, int month, int day) {
    int of_march = year - (month <= 2), since_march = month > 2 ? month - 3 : month + 9;
    int days = (153 * since_march + 2) / 5 + day - 1;
    return of_march * 365 + of_march / 4 - of_march / 100 + of_march / 400 + days - 719468;
}

static const char *read_date(const char *at, const char *end, int32_t *value) {
    static const int LENGTHS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (end - at <= DATE_LENGTH || at[4] != '-' || at[7] != '-') return NULL;
    int century = two_digits(at), of_century = two_digits(at + 2), month = two_digits(at + 5), day = two_digits(at + 8);
    if (century < 1 || of_century < 0 || month < 1 || month > 12 || day < 1) return NULL;
    int year = century * 100 + of_century;
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > LENGTHS[month - 1] + (month == 2 && leap)) return NULL;
    *value = days_since_1970(year, month, day);
    return at + DATE_LENGTH;
}

/* A wall-clock time of the day that was asked for, of whole seconds or with up to six digits of a fraction. */
static const char *read_instant(const char *at, const char *end, const struct asked *asked, int64_t *value) {
    if (end - at <= CLOCK_LENGTH || memcmp(at, asked->day, DAY_LENGTH) || at[13] != ':' || at[16] != ':') return NULL;
    int hour = two_digits(at + 11), minute = two_digits(at + 14), second = two_digits(at + 17);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return NULL;
    uint64_t fraction = 0;
    at += CLOCK_LENGTH;
    if (*at == '.') {
        int64_t count = 0;
        at = digits(at + 1, &fraction, &count);
        if (count < 1 || count > 6) return NULL;
        while (count++ < 6) fraction *= 10;
    }
    *value = asked->midnight + ((hour * 60 + minute) * 60 + second) * INT64_C(1000000) + (int64_t)fraction;
    return at;
}

/*
 * A decimal number without an exponent. A whole number up to EXACT and a power of ten up to 10^EXACT_SCALE are doubles
 * themselves, so their quotient, rounded once, is the double nearest to what is written (Clinger, 1990). Of more digits
 * it might not be: they are declined.
 */
static const char *read_decimal(const char *at, double *value) {
    int minus = *at == '-';
    uint64_t whole = 0;
    int64_t count = 0, scale = 0;
    at = digits(at + minus, &whole, &count);
    if (count == 0) return NULL;
    if (*at == '.') {
        at = digits(at + 1, &whole, &scale);
        if (scale == 0) return NULL;
    }
    if (count + scale > EXACT_DIGITS || whole > EXACT || scale > EXACT_SCALE) return NULL;
    double size = (double)whole / POWERS_OF_TEN[scale];
    *value = minus ? -size : size;
    return at;
}

static const char *read_whole(const char *at, int64_t *value) {
    int minus = *at == '-';
    uint64_t size = 0;
    int64_t count = 0;
    at = digits(at + minus, &size, &count);
    if (count < 1 || count > EXACT_DIGITS) return NULL;
    *value = minus ? -(int64_t)size : (int64_t)size;
    return at;
}

/* Printable ASCII without a quote, which might hide the end of the field. */
static const char *skip(const char *at) {
    while (*at >= ' ' && *at <= '~' && *at != ',' && *at != '"') at++;
    return at;
}

/* Read one field into its column; return where it ends, or NULL. */
static const char *read_field(const char *at, const char *end, const struct column *column, int64_t row,
                              const struct asked *asked) {
    int64_t whole;
    switch (column->kind) {
    case SHORT:
        at = read_whole(at, &whole);
        if (at == NULL || whole < INT16_MIN || whole > INT16_MAX) return NULL;
        ((int16_t *)column->values)[row] = (int16_t)whole;
        return at;
    case LONG: return read_whole(at, (int64_t *)column->values + row);
    case MODEL:
        if (end - at > 3 && !memcmp(at, "NaN", 3)) {
            ((double *)column->values)[row] = (double)NAN;
            return at + 3;
        }
        /* fall through */
    case PRICE: return read_decimal(at, (double *)column->values + row);
    case SKIPPED: return skip(at);
    }
    int quoted = *at == '"';
    at += quoted;
    switch (column->kind) {
    case SYMBOL: at = read_symbol(at, end, asked); break;
    case RIGHT: at = read_right(at, end, (uint8_t *)column->values + row); break;
    case DATE: at = read_date(at, end, (int32_t *)column->values + row); break;
    case INSTANT: at = read_instant(at, end, asked, (int64_t *)column->values + row); break;
    default: return NULL;
    }
    if (quoted && at != NULL) at = *at == '"' ? at + 1 : NULL;
    return at;
}

static void repeat(const struct column *column, int64_t row) {
    switch (column->kind) {
    case SKIPPED: case SYMBOL: break;
    case RIGHT: ((uint8_t *)column->values)[row] = ((uint8_t *)column->values)[row - 1]; break;
    case DATE: ((int32_t *)column->values)[row] = ((int32_t *)column->values)[row - 1]; break;
    case SHORT: ((int16_t *)column->values)[row] = ((int16_t *)column->values)[row - 1]; break;
    default: ((int64_t *)column->values)[row] = ((int64_t *)column->values)[row - 1];
    }
}

/* How many lines a text has; of bytes, because a sum of them in pieces is one that compilers make fast. */
int64_t count_lines(const char *text, int64_t length) {
    enum { PIECE = 192 };
    int64_t lines = 0, at = 0;
    for (; length - at >= PIECE; at += PIECE) {
        uint8_t of_piece = 0;
        for (int64_t i = 0; i < PIECE; i++) of_piece = (uint8_t)(of_piece + (text[at + i] == '\n'));
        lines += of_piece;
    }
    for (; at < length; at++) lines += text[at] == '\n';
    return lines;
}

/*
 * Read lines that end in LF or CRLF; `columns` has room for `rows` values each, where `rows` is count_lines of them.
 * Return 1, or 0 if they are declined, after which the columns hold anything.
 */
int32_t read_lines(const char *text, int64_t length, const struct column *columns, int32_t width, int64_t rows,
                   const struct asked *asked) {
    const char *at = text, *end = text + length, *contract = NULL;
    int64_t contract_length = 0;
    int32_t before_time = 0; /* columns, most often those of the contract, which a line shares with the line before it */
    if (width < 1 || length < 1 || end[-1] != '\n') return 0;
    while (before_time < width && columns[before_time].kind != INSTANT) before_time++;
    for (int64_t row = 0; row < rows; row++) {
        int32_t i = 0;
        if (contract_length && end - at > contract_length && !memcmp(at, contract, (size_t)contract_length)) {
            for (; i < before_time; i++) repeat(&columns[i], row);
            at += contract_length;
        }
        const char *start = at;
        for (; i < width; i++) {
            if (i == before_time && at != start) contract = start, contract_length = at - start;
            at = read_field(at, end, &columns[i], row, asked);
            if (at == NULL) return 0;
            if (i < width - 1) {
                if (*at++ != ',') return 0;
            } else {
                at += *at == '\r';
                if (*at++ != '\n') return 0;
            }
        }
    }
    return at == end;
}
