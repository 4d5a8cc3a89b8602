/*
 * Quotes condensed to one row per contract, in one pass: `contract_runs.py` says which are taken,
 * `contract_summary.py` what is counted.
 *
 * Rows of a contract that lie together are one run, and each run becomes one record. Quotes with a price that is no
 * finite number are declined, because what such a price is larger than is a matter of whom one asks.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

struct view { uint8_t bytes[16]; }; /* of a string, as Arrow lays it out: its length, and all of it up to 12 bytes */

struct quotes {
    const struct view *symbol;
    const int32_t *expiration;
    const double *strike;
    const uint8_t *right;
    const int64_t *timestamp;
    const double *bid;
    const double *ask;
    const int64_t *bid_size; /* NULL where there are none, as the next */
    const int64_t *ask_size;
};

struct session {
    int64_t open;
    int64_t close;
    int64_t interval;
};

struct run {
    int64_t first_row;
    int64_t last_row;
    int64_t rows;
    int64_t first_timestamp;
    int64_t last_timestamp;
    int64_t disordered;
    int64_t outside_session;
    int64_t off_grid;
    int64_t crossed;
    int64_t locked;
    int64_t negative;
    int64_t unusable; /* none: such quotes are declined */
    int64_t zero_bid;
    int64_t zero_ask;
    int64_t no_quote;
    int64_t opening_no_quote;
};

enum { INLINE = 12 };

static int begins_run(const struct quotes *of, int64_t row) {
    return of->strike[row] != of->strike[row - 1] || of->right[row] != of->right[row - 1] ||
           of->expiration[row] != of->expiration[row - 1] ||
           memcmp(&of->symbol[row], &of->symbol[row - 1], sizeof(struct view)) != 0;
}

/* Microseconds from one instant to another; of instants too far apart for them a wrong number, as in Arrow. */
static int64_t between(int64_t first, int64_t second) { return (int64_t)((uint64_t)second - (uint64_t)first); }

static int is_negative(const int64_t *sizes, int64_t row) { return sizes != NULL && sizes[row] < 0; }

static void count_prices(struct run *run, double bid, double ask, int at_open) {
    run->crossed += (bid > ask) & (ask > 0);
    run->locked += (bid == ask) & (bid > 0);
    run->zero_bid += (bid == 0) & (ask > 0);
    run->zero_ask += (bid > 0) & (ask == 0);
    int no_quote = (bid == 0) & (ask == 0);
    run->no_quote += no_quote;
    run->opening_no_quote += no_quote & at_open;
}

/*
 * Write the runs of the rows, in their order; there is room for as many as rows. Return how many there are, or -1 where
 * the quotes are declined, after which the runs hold anything.
 */
int64_t summarize_contracts(const struct quotes *of, int64_t rows, const struct session *session, struct run *runs) {
    struct run *run = NULL, *next = runs;
    int64_t before = 0; /* the timestamp of the row before, which lies on the grid if on_grid says so */
    int on_grid = 0;
    if (session->interval <= 0) return -1;
    for (int64_t row = 0; row < rows; row++) {
        int64_t timestamp = of->timestamp[row];
        double bid = of->bid[row], ask = of->ask[row];
        if (!isfinite(bid) || !isfinite(ask)) return -1;
        if (run == NULL || begins_run(of, row)) {
            uint32_t length;
            memcpy(&length, &of->symbol[row], sizeof length);
            if (length > INLINE || !isfinite(of->strike[row])) return -1;
            run = next++;
            *run = (struct run){.first_row = row, .first_timestamp = timestamp};
        } else {
            run->disordered += timestamp <= before;
        }
        /* A division for each row would cost as much as all else here. */
        on_grid = (on_grid && between(before, timestamp) == session->interval) ||
                  between(session->open, timestamp) % session->interval == 0;
        run->rows++;
        run->last_row = row;
        run->last_timestamp = before = timestamp;
        run->outside_session += timestamp < session->open || timestamp > session->close;
        run->off_grid += !on_grid;
        int negative_size = is_negative(of->bid_size, row) || is_negative(of->ask_size, row);
        run->negative += (bid < 0) | (ask < 0) | negative_size;
        count_prices(run, bid, ask, timestamp == session->open);
    }
    return next - runs;
}
