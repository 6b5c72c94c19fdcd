/* SMTP as a sink speaks it: RFC 5321 with PIPELINING, CHUNKING, SIZE, 8BITMIME, SMTPUTF8, STARTTLS and
   ENHANCEDSTATUSCODES. It takes every well-formed message, and refuses what no client may say: a benchmark of
   a client that breaks the protocol is worth nothing, so the sink would rather count a refusal. */
#include "smtp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SIZE_MOST 104857600

struct rules rules = {.chunking = true, .pipelining = true};
struct counts counts;

void text_add(struct text *text, const void *data, size_t size)
{
    if (size > text->room - text->size) {
        size_t room = text->room ? text->room : 512;
        while (room - text->size < size)
            room *= 2;
        text->data = realloc(text->data, room);
        if (text->data == NULL) {
            perror("sink");
            exit(1);
        }
        text->room = room;
    }
    if (size)
        memcpy(text->data + text->size, data, size);
    text->size += size;
}

static inline void reply(struct text *out, const char *line, size_t size)
{
    counts.replies++;
    counts.refused += line[0] > '3';
    text_add(out, line, size);
}
#define REPLY(out, line) reply(out, line "\r\n", sizeof(line "\r\n") - 1)

static bool remembers(void) { return rules.keep != NULL || rules.ledger != NULL; }

static void forget(struct smtp *smtp)
{
    smtp->mail = smtp->utf8 = smtp->chunked = false;
    smtp->recipients = smtp->octets = 0;
    smtp->envelope.size = smtp->content.size = 0;
}

/* ---- a message is complete ---- */

static void keep(const struct smtp *smtp)
{
    char name[4096], head[64];
    snprintf(name, sizeof name, "%s/%08llu", rules.keep, (unsigned long long)counts.transactions);
    int size = snprintf(head, sizeof head, "connection %llu %s\n", (unsigned long long)smtp->number,
                        smtp->tls ? "tls" : "plain");
    FILE *file = fopen(name, "wb");
    bool good = file != NULL && fwrite(head, 1, (size_t)size, file) == (size_t)size &&
                fwrite(smtp->envelope.data, 1, smtp->envelope.size, file) == smtp->envelope.size &&
                fputc('\n', file) != EOF &&
                (smtp->content.size == 0 ||
                 fwrite(smtp->content.data, 1, smtp->content.size, file) == smtp->content.size);
    if (file == NULL || fclose(file) != 0 || !good) {
        fprintf(stderr, "sink: %s: %s\n", name, strerror(errno));
        exit(1);
    }
}

/* The envelope is remembered as its commands, a line each: the first is MAIL, the others RCPT TO:<path>. */
static void write_down(const struct smtp *smtp)
{
    const char *at = smtp->envelope.data, *end = at + smtp->envelope.size;
    at = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
    while (at < end) {
        const char *next = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
        const char *path = at + sizeof "RCPT TO:<" - 1;
        fwrite(path, 1, (size_t)(next - path) - 2, rules.ledger);
        fputc('\n', rules.ledger);
        at = next;
    }
    if (ferror(rules.ledger)) {
        perror("sink: the ledger");
        exit(1);
    }
}

static void accept_message(struct smtp *smtp, struct text *out)
{
    counts.transactions++;
    counts.recipients += smtp->recipients;
    counts.octets += smtp->octets;
    if (rules.ledger != NULL)
        write_down(smtp);
    if (rules.keep != NULL)
        keep(smtp);
    if (rules.unique) {
        char line[] = "250 2.0.0 Ok: queued as 0123456789ABCDEF\r\n";
        uint64_t id = counts.transactions * 0x9E3779B97F4A7C15u; /* odd: another for each, and none looks like the last */
        for (char *digit = line + sizeof line - 4; *digit != ' '; digit--, id >>= 4)
            *digit = "0123456789ABCDEF"[id & 15];
        reply(out, line, sizeof line - 1);
    } else {
        REPLY(out, "250 2.0.0 Ok: queued");
    }
    forget(smtp);
}

static inline void content(struct smtp *smtp, const char *data, size_t size)
{
    smtp->octets += size;
    if (rules.keep != NULL)
        text_add(&smtp->content, data, size);
}

/* Only <CRLF>.<CRLF> ends a message, and a read may end between any two octets of it. */
static const char *take_data(struct smtp *smtp, const char *at, const char *end, struct text *out)
{
    while (at < end) {
        switch (smtp->line) {
        case START:
            smtp->cr = false;
            if (*at == '.') {
                smtp->line = DOT;
                at++;
                break;
            }
            smtp->line = INSIDE;
            /* fall through */
        case INSIDE: {
            const char *lf = memchr(at, '\n', (size_t)(end - at));
            const char *stop = lf != NULL ? lf + 1 : end;
            if (lf != NULL && (lf > at ? lf[-1] == '\r' : smtp->cr))
                smtp->line = START;
            smtp->cr = stop[-1] == '\r';
            content(smtp, at, (size_t)(stop - at));
            at = stop;
            break;
        }
        case DOT: /* a first dot with more behind it was stuffed: it is not content (RFC 5321 4.5.2) */
            if (*at == '\r') {
                smtp->line = DOT_CR;
                at++;
            } else {
                smtp->line = INSIDE;
            }
            break;
        case DOT_CR:
            if (*at == '\n') {
                smtp->mode = COMMANDS;
                accept_message(smtp, out);
                return at + 1;
            }
            content(smtp, "\r", 1);
            smtp->line = INSIDE;
            smtp->cr = true;
            break;
        }
    }
    return at;
}

static void end_chunk(struct smtp *smtp, struct text *out)
{
    smtp->mode = COMMANDS;
    if (smtp->refuse)
        REPLY(out, "503 5.5.1 BDAT without a recipient");
    else if (smtp->last)
        accept_message(smtp, out);
    else
        REPLY(out, "250 2.0.0 Ok: chunk");
}

/* ---- commands ---- */

struct words { /* what is left of a command */
    const char *at, *end;
};

static bool word_is(const char *at, size_t size, const char *word)
{
    return strlen(word) == size && strncasecmp(at, word, size) == 0;
}

/* `TO:<path>`, at most 256 octets; moves behind it. Quoted local parts may hold anything, even '>' (RFC 5321 4.1.2). */
static bool take_path(struct words *words, const char *keyword, struct words *path, bool *eight_bit)
{
    size_t length = strlen(keyword);
    if ((size_t)(words->end - words->at) <= length || strncasecmp(words->at, keyword, length) != 0 ||
        words->at[length] != '<')
        return false;
    const char *at = words->at + length + 1, *first = at, *sign = NULL;
    bool quoted = false;
    for (;; at++) {
        if (at == words->end || at - first > 254)
            return false;
        unsigned char octet = (unsigned char)*at;
        if (octet < ' ' || octet == 127 || (octet == ' ' && !quoted))
            return false;
        if (octet > 127)
            *eight_bit = true;
        else if (octet == '"')
            quoted = !quoted;
        else if (octet == '\\' && quoted) {
            if (++at == words->end)
                return false;
        } else if (!quoted) {
            if (octet == '>')
                break;
            if (octet == '<')
                return false;
            if (octet == '@')
                sign = at;
        }
    }
    *path = (struct words){first, at};
    words->at = at + 1;
    if (words->at < words->end && *words->at != ' ')
        return false;
    return at == first || (sign != NULL && sign > first && sign + 1 < at) ||
           word_is(first, (size_t)(at - first), "postmaster");
}

static bool take_number(const char *at, const char *end, uint64_t *number)
{
    if (at == end || end - at > 18)
        return false;
    *number = 0;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        *number = *number * 10 + (uint64_t)(*at - '0');
    }
    return true;
}

static void mail_command(struct smtp *smtp, struct words words, struct text *out)
{
    struct words whole = words, path;
    bool eight_bit = false, utf8 = false;
    uint64_t size = 0;
    if (!smtp->greeted) {
        REPLY(out, "503 5.5.1 EHLO first");
        return;
    }
    if (smtp->mail) {
        REPLY(out, "503 5.5.1 A transaction is open");
        return;
    }
    if (!take_path(&words, "FROM:", &path, &eight_bit)) {
        REPLY(out, "501 5.1.7 Bad reverse-path");
        return;
    }
    while (words.at < words.end) { /* each behind one space */
        const char *at = words.at + 1, *end = memchr(at, ' ', (size_t)(words.end - at));
        words.at = end = end != NULL ? end : words.end;
        size_t length = (size_t)(end - at);
        if (smtp->extended && word_is(at, length, "SMTPUTF8")) {
            utf8 = true;
        } else if (smtp->extended && length > 5 && strncasecmp(at, "SIZE=", 5) == 0) {
            if (!take_number(at + 5, end, &size)) {
                REPLY(out, "501 5.5.4 Bad SIZE");
                return;
            }
        } else if (!smtp->extended ||
                   !(word_is(at, length, "BODY=8BITMIME") || word_is(at, length, "BODY=7BIT"))) {
            REPLY(out, "555 5.5.4 Parameter not known");
            return;
        }
    }
    if (size > SIZE_MOST) {
        REPLY(out, "552 5.3.4 Too large");
        return;
    }
    if (eight_bit && !utf8) {
        REPLY(out, "553 5.6.7 SMTPUTF8 was not asked for");
        return;
    }
    smtp->mail = true;
    smtp->utf8 = utf8;
    if (remembers()) {
        text_add(&smtp->envelope, "MAIL ", 5);
        text_add(&smtp->envelope, whole.at, (size_t)(whole.end - whole.at));
        text_add(&smtp->envelope, "\n", 1);
    }
    REPLY(out, "250 2.1.0 Ok");
}

static void rcpt_command(struct smtp *smtp, struct words words, struct text *out)
{
    struct words path;
    bool eight_bit = false;
    if (!smtp->mail || smtp->chunked) {
        REPLY(out, "503 5.5.1 RCPT out of order");
    } else if (!take_path(&words, "TO:", &path, &eight_bit) || path.at == path.end) {
        REPLY(out, "501 5.1.3 Bad forward-path");
    } else if (words.at < words.end) {
        REPLY(out, "555 5.5.4 Parameter not known");
    } else if (eight_bit && !smtp->utf8) {
        REPLY(out, "553 5.6.7 SMTPUTF8 was not asked for");
    } else {
        counts.rcpts++;
        smtp->recipients++;
        if (remembers()) {
            text_add(&smtp->envelope, "RCPT TO:<", 9);
            text_add(&smtp->envelope, path.at, (size_t)(path.end - path.at));
            text_add(&smtp->envelope, ">\n", 2);
        }
        REPLY(out, "250 2.1.5 Ok");
    }
}

/* The octets of a chunk come whether we like it or not, so even a refused one is eaten (RFC 3030 2). */
static void bdat_command(struct smtp *smtp, struct words words, struct text *out, enum then *then)
{
    const char *space = memchr(words.at, ' ', (size_t)(words.end - words.at));
    const char *end = space != NULL ? space : words.end;
    bool last = space != NULL && word_is(space + 1, (size_t)(words.end - space) - 1, "LAST");
    if (!take_number(words.at, end, &smtp->rest) || (space != NULL && !last)) {
        REPLY(out, "501 5.5.4 Bad BDAT"); /* where the next command begins is not known */
        *then = CLOSE;
        return;
    }
    smtp->mode = BDAT;
    smtp->last = last;
    smtp->refuse = smtp->recipients == 0;
    smtp->chunked = smtp->chunked || !smtp->refuse;
    if (smtp->rest == 0)
        end_chunk(smtp, out);
}

static void ehlo_command(struct smtp *smtp, struct words words, struct text *out, bool extended)
{
    if (words.at == words.end) {
        REPLY(out, "501 5.5.4 Who are you?");
        return;
    }
    forget(smtp);
    smtp->greeted = true;
    smtp->extended = extended;
    if (!extended) {
        REPLY(out, "250 sink.example");
        return;
    }
    static const char *const LINES[] = {"250-sink.example\r\n", "250-PIPELINING\r\n", "250-CHUNKING\r\n",
                                        "250-STARTTLS\r\n",     "250-SIZE 104857600\r\n", "250-8BITMIME\r\n",
                                        "250-SMTPUTF8\r\n",     "250 ENHANCEDSTATUSCODES\r\n"};
    const bool offered[] = {true, rules.pipelining, rules.chunking, rules.starttls && !smtp->tls, true, true,
                            true, true};
    counts.replies++;
    for (size_t i = 0; i < sizeof offered; i++)
        if (offered[i])
            text_add(out, LINES[i], strlen(LINES[i]));
}

static void data_command(struct smtp *smtp, struct text *out)
{
    if (smtp->recipients == 0 || smtp->chunked) {
        REPLY(out, "503 5.5.1 DATA out of order");
        return;
    }
    REPLY(out, "354 End data with <CR><LF>.<CR><LF>");
    smtp->mode = DATA;
    smtp->line = START;
}

static void command(struct smtp *smtp, const char *line, const char *end, struct text *out, enum then *then)
{
    while (end > line && end[-1] == ' ')
        end--;
    const char *space = memchr(line, ' ', (size_t)(end - line));
    size_t size = (size_t)((space != NULL ? space : end) - line);
    struct words words = {space != NULL ? space + 1 : end, end};
    bool alone = space == NULL;

    if (word_is(line, size, "RCPT"))
        rcpt_command(smtp, words, out);
    else if (word_is(line, size, "MAIL"))
        mail_command(smtp, words, out);
    else if (word_is(line, size, "BDAT") && rules.chunking)
        bdat_command(smtp, words, out, then);
    else if (word_is(line, size, "EHLO") || word_is(line, size, "HELO"))
        ehlo_command(smtp, words, out, (line[0] | 32) == 'e');
    else if (word_is(line, size, "NOOP"))
        REPLY(out, "250 2.0.0 Ok");
    else if (word_is(line, size, "VRFY"))
        REPLY(out, "252 2.5.0 Send it and see");
    else if (!(word_is(line, size, "DATA") || word_is(line, size, "RSET") || word_is(line, size, "QUIT") ||
               (word_is(line, size, "STARTTLS") && rules.starttls)))
        REPLY(out, "500 5.5.1 Command not known");
    else if (!alone)
        REPLY(out, "501 5.5.4 No argument, please");
    else if ((line[0] | 32) == 'd')
        data_command(smtp, out);
    else if ((line[0] | 32) == 'r') {
        forget(smtp);
        REPLY(out, "250 2.0.0 Ok");
    } else if ((line[0] | 32) == 'q') {
        REPLY(out, "221 2.0.0 Bye");
        *then = CLOSE;
    } else if (smtp->tls)
        REPLY(out, "503 5.5.1 TLS is on");
    else {
        REPLY(out, "220 2.0.0 Go on");
        *then = START_TLS;
    }
}

/* ---- the conversation ---- */

void smtp_greet(struct smtp *smtp, struct text *out)
{
    (void)smtp;
    REPLY(out, "220 sink.example ESMTP");
}

/* Returns how many octets were taken. What is left is the beginning of a line, or follows the end. */
size_t smtp_take(struct smtp *smtp, const char *data, size_t size, struct text *out, enum then *then)
{
    const char *at = data, *end = data + size;
    *then = GO_ON;
    while (at < end && *then == GO_ON) {
        if (smtp->mode == BDAT) {
            size_t part = (uint64_t)(end - at) < smtp->rest ? (size_t)(end - at) : (size_t)smtp->rest;
            if (!smtp->refuse)
                content(smtp, at, part);
            at += part;
            smtp->rest -= part;
            if (smtp->rest == 0)
                end_chunk(smtp, out);
        } else if (smtp->mode == DATA) {
            at = take_data(smtp, at, end, out);
        } else {
            const char *lf = memchr(at, '\n', (size_t)(end - at));
            if (lf == NULL ? end - at >= LINE_MOST : lf - at >= LINE_MOST) {
                REPLY(out, "500 5.5.2 Line too long");
                *then = CLOSE;
                break;
            }
            if (lf == NULL)
                break;
            if (lf == at || lf[-1] != '\r')
                REPLY(out, "500 5.5.2 A line ends with CRLF");
            else
                command(smtp, at, lf - 1, out, then);
            at = lf + 1;
            counts.early += smtp->mode == DATA && at < end; /* content before the 354 */
        }
        counts.early += !rules.pipelining && smtp->mode == COMMANDS && at < end;
    }
    return (size_t)(at - data);
}

void smtp_tls(struct smtp *smtp)
{
    forget(smtp);
    smtp->tls = true;
    smtp->greeted = smtp->extended = false;
}

void smtp_free(struct smtp *smtp)
{
    free(smtp->envelope.data);
    free(smtp->content.data);
}
