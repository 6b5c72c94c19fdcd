/* The sink's half of SMTP (smtp.c): octets in, octets out. It sees no socket and no clock.

   One `struct smtp` is one conversation. `smtp_take` is given what was read, behind what it left of the last
   read, and appends the replies to `out`; how the octets were cut by the network makes no difference. */
#ifndef SMTP_H
#define SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { LINE_MOST = 2048 }; /* octets of a command with its CRLF; RFC 5321 4.5.3.1.4 wants 512 and more with extensions */

struct text { /* octets that grow */
    char *data;
    size_t size, room;
};
void text_add(struct text *text, const void *data, size_t size);

struct rules { /* the same for all conversations */
    bool chunking, pipelining, starttls, unique;
    const char *keep; /* a folder for whole messages, or NULL */
    FILE *ledger;     /* a line for each recipient of an accepted message, or NULL */
};

struct counts {
    uint64_t rcpts;        /* RCPT accepted, whatever became of the message */
    uint64_t transactions; /* messages accepted */
    uint64_t recipients;   /* theirs */
    uint64_t octets;       /* of their content, unstuffed */
    uint64_t replies, refused; /* all; those of 4yz and 5yz */
    uint64_t early;        /* commands or content sent before a reply that the client had to wait for */
};

struct smtp {
    uint64_t number; /* of the connection */
    bool tls, greeted, extended;
    enum { COMMANDS, DATA, BDAT } mode;
    bool mail, utf8, chunked; /* of the open transaction */
    uint64_t recipients, octets;
    uint64_t rest; /* of the chunk */
    bool last, refuse; /* the chunk is the last; it is only eaten */
    enum { START, INSIDE, DOT, DOT_CR } line; /* where in a line of DATA we are; the dot itself is held back */
    bool cr; /* INSIDE: the octet before was CR */
    struct text envelope, content; /* what is kept of the transaction, where anything is */
};

enum then { GO_ON, START_TLS, CLOSE };

extern struct rules rules;
extern struct counts counts;

void smtp_greet(struct smtp *smtp, struct text *out);
size_t smtp_take(struct smtp *smtp, const char *data, size_t size, struct text *out, enum then *then);
void smtp_tls(struct smtp *smtp); /* the handshake is done: all that was known before is forgotten (RFC 3207) */
void smtp_free(struct smtp *smtp);

#endif
