/* A name server for a world in which every domain takes mail: MX is `10 mx.<name>`, A is one address, and
   there is nothing else (NOERROR without an answer, with the SOA that lets it be cached, RFC 2308). */
#include "dns.h"

#include <stdbool.h>
#include <string.h>

enum { A = 1, SOA = 6, MX = 15, OPT = 41, IN = 1, ANY_CLASS = 255 };
enum { HEADER = 12, NAME_MOST = 255 };
enum { FORMERR = 1, NOTIMP = 4, REFUSED = 5 };

struct record { /* being written */
    uint8_t *at;
};

static void put16(struct record *record, unsigned value)
{
    *record->at++ = (uint8_t)(value >> 8);
    *record->at++ = (uint8_t)value;
}

static void put32(struct record *record, uint32_t value)
{
    put16(record, value >> 16);
    put16(record, value & 0xFFFF);
}

static void put_head(struct record *record, unsigned type, unsigned size)
{
    put16(record, 0xC000 | HEADER); /* the name that was asked for */
    put16(record, type);
    put16(record, IN);
    put32(record, 3600);
    put16(record, size);
}

static unsigned get16(const uint8_t *at) { return (unsigned)at[0] << 8 | at[1]; }

/* Where the name that begins here ends, or 0; a question is the first name there is, so it points nowhere. */
static size_t name_end(const uint8_t *query, size_t size, size_t at)
{
    size_t first = at;
    while (at < size && query[at] != 0) {
        if (query[at] > 63)
            return 0;
        at += 1 + (size_t)query[at];
    }
    at++;
    return at <= size && at - first <= NAME_MOST ? at : 0;
}

size_t dns_answer(const uint8_t *query, size_t size, const uint8_t address[4], uint8_t answer[DNS_MOST])
{
    if (size < HEADER || size > DNS_MOST || query[2] & 0x80) /* too short, or an answer itself */
        return 0;
    unsigned code = 0, answers = 0, authorities = 0, additions = 0, type = 0;
    size_t end = HEADER; /* of the question */
    bool opt = false, dnssec = false;

    if (query[2] & 0x78)
        code = NOTIMP;
    else if (get16(query + 4) != 1 || get16(query + 6) != 0 || get16(query + 8) != 0)
        code = FORMERR;
    else if ((end = name_end(query, size, HEADER)) == 0 || end + 4 > size) {
        code = FORMERR;
        end = HEADER;
    } else {
        size_t name = end;
        type = get16(query + end);
        unsigned class = get16(query + end + 2);
        end += 4;
        if (class != IN && class != ANY_CLASS)
            code = REFUSED;
        if (get16(query + 10) > 0 && end + 11 <= size && query[end] == 0 && get16(query + end + 1) == OPT) {
            opt = true;
            dnssec = query[end + 7] & 0x80;
        }
        if (type == MX && name - HEADER + 3 > NAME_MOST)
            type = 0; /* no room for "mx." */
    }

    memcpy(answer, query, end);
    struct record record = {answer + end};
    if (code == 0 && type == A) {
        put_head(&record, A, 4);
        memcpy(record.at, address, 4);
        record.at += 4;
        answers = 1;
    } else if (code == 0 && type == MX) {
        put_head(&record, MX, 7);
        put16(&record, 10);
        memcpy(record.at, "\2mx", 3);
        record.at += 3;
        put16(&record, 0xC000 | HEADER);
        answers = 1;
    } else if (code == 0) {
        put_head(&record, SOA, 24);
        put16(&record, 0xC000 | HEADER);
        put16(&record, 0xC000 | HEADER);
        put32(&record, 1);
        for (int i = 0; i < 4; i++) /* refresh, retry, expire, and how long "nothing" may be believed */
            put32(&record, 3600);
        authorities = 1;
    }
    if (opt) {
        *record.at++ = 0;
        put16(&record, OPT);
        put16(&record, DNS_MOST);
        put32(&record, dnssec ? 0x8000 : 0);
        put16(&record, 0);
        additions = 1;
    }

    answer[2] = (uint8_t)(0x80 | (query[2] & 0x79) | (code ? 0 : 0x04)); /* an answer, authoritative; RD as asked */
    answer[3] = (uint8_t)(0x80 | code);                                 /* RA */
    struct record numbers = {answer + 4};
    put16(&numbers, end > HEADER);
    put16(&numbers, answers);
    put16(&numbers, authorities);
    put16(&numbers, additions);
    return (size_t)(record.at - answer);
}
