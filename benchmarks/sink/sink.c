/* A mail server that takes everything, and is never what a benchmark waits for.

   One thread, epoll, one buffer for what is read and one for what is said: a connection owns octets only
   between two reads (the beginning of a command), or while the client does not read its replies. What one read
   brought is answered by one write, as servers do under PIPELINING. A client that does not read is not read
   from either. SMTP is in smtp.c, DNS in dns.c.

   Prints `smtp PORT` (and `dns PORT`), then its counters as a line of JSON upon SIGUSR1 and when it ends: on
   SIGTERM, when its standard input is closed, or when its parent is gone, whichever is first. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dns.h"
#include "process.h"
#include "smtp.h"

enum { READ_MOST = 1 << 18, RECORDS_MOST = 1 << 16 }; /* octets of one turn; of TLS records in one read */

struct connection {
    int fd;
    uint32_t interest; /* what epoll watches for */
    SSL *tls;
    bool handshake; /* is done */
    bool starting;  /* TLS follows when the replies are out */
    bool closing;   /* nothing is read any more but the end */
    bool queued;    /* in `again` */
    struct smtp smtp;
    struct text begun;   /* the beginning of a command */
    struct text pending; /* replies that the socket had no room for */
    struct connection *next;
};

const char *program = "sink";
static int listener, dns_socket = -1;
static bool accepting = true;
static SSL_CTX *context;
static struct connection *again; /* TLS may hold octets that no event will tell of */
static struct text out;
static char room[LINE_MOST + READ_MOST]; /* what was begun stands before what is read */
static uint8_t address[4] = {127, 0, 0, 1};
static uint64_t connections, open_connections, handshakes, queries;
static struct timespec first_rcpt, last_rcpt, last_message;

/* ---- what it tells ---- */

static void print_time(const char *name, struct timespec at)
{
    if (at.tv_sec == 0)
        printf("\"%s\": null, ", name);
    else
        printf("\"%s\": %lld.%09ld, ", name, (long long)at.tv_sec, at.tv_nsec);
}

static void print_counts(void)
{
    if (rules.ledger != NULL && fflush(rules.ledger) != 0)
        stop("the ledger: %s", strerror(errno));
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"connections", connections},         {"open", open_connections},         {"tls", handshakes},
        {"transactions", counts.transactions}, {"recipients", counts.recipients}, {"octets", counts.octets},
        {"rcpts", counts.rcpts},               {"replies", counts.replies},       {"refused", counts.refused},
        {"early", counts.early},               {"queries", queries},
    };
    putchar('{');
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        printf("\"%s\": %llu, ", numbers[i].name, (unsigned long long)numbers[i].value);
    print_time("first_rcpt", first_rcpt);
    print_time("last_rcpt", last_rcpt);
    print_time("last_message", last_message);
    printf("\"cpu_s\": %.6f}\n", cpu_s());
    fflush(stdout);
}

static void finish(void)
{
    print_counts();
    exit(0);
}

/* ---- sockets ---- */

static void want(struct connection *c, uint32_t interest)
{
    if (c->interest != interest)
        watch(EPOLL_CTL_MOD, c->fd, c->interest = interest, c);
}

static void end_connection(struct connection *c)
{
    close(c->fd);
    SSL_free(c->tls);
    smtp_free(&c->smtp);
    free(c->begun.data);
    free(c->pending.data);
    free(c);
    open_connections--;
    if (!accepting) { /* there may be a descriptor again */
        accepting = true;
        watch(EPOLL_CTL_MOD, listener, EPOLLIN, &listener);
    }
}

/* ---- writing ---- */

enum progress { DONE, LATER, GONE };

static enum progress tls_problem(struct connection *c, int result, uint32_t *interest)
{
    int error = SSL_get_error(c->tls, result);
    ERR_clear_error();
    *interest = error == SSL_ERROR_WANT_WRITE ? EPOLLOUT : EPOLLIN;
    return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? LATER : GONE;
}

static enum progress put(struct connection *c, const char *data, size_t size, size_t *written)
{
    uint32_t interest = EPOLLOUT;
    for (*written = 0; *written < size;) {
        if (c->tls != NULL) {
            size_t part;
            int result = SSL_write_ex(c->tls, data + *written, size - *written, &part);
            if (result <= 0) {
                enum progress progress = tls_problem(c, result, &interest);
                if (progress == LATER)
                    want(c, interest);
                return progress;
            }
            *written += part;
        } else {
            ssize_t part = send(c->fd, data + *written, size - *written, MSG_NOSIGNAL);
            if (part < 0 && errno == EINTR)
                continue;
            if (part < 0 && errno == EAGAIN) {
                want(c, interest);
                return LATER;
            }
            if (part < 0)
                return GONE;
            *written += (size_t)part;
        }
    }
    return DONE;
}

static enum progress put_pending(struct connection *c)
{
    size_t written;
    enum progress progress = put(c, c->pending.data, c->pending.size, &written);
    c->pending.size -= written;
    if (progress == DONE) {
        free(c->pending.data);
        c->pending = (struct text){0};
    } else if (written) {
        memmove(c->pending.data, c->pending.data + written, c->pending.size);
    }
    return progress;
}

static enum progress put_out(struct connection *c)
{
    size_t written;
    enum progress progress = put(c, out.data, out.size, &written);
    if (progress == LATER)
        text_add(&c->pending, out.data + written, out.size - written);
    out.size = 0;
    return progress;
}

/* ---- reading ---- */

/* Into `room`, behind what was begun. LATER: nothing (more) for now, though `size` octets may have come. */
static enum progress get(struct connection *c, size_t *size, uint32_t *interest)
{
    *interest = EPOLLIN;
    *size = 0;
    if (c->tls == NULL) {
        ssize_t part = recv(c->fd, room + LINE_MOST, READ_MOST, 0);
        if (part < 0)
            return errno == EAGAIN || errno == EINTR ? LATER : GONE;
        *size = (size_t)part;
        return part == 0 ? GONE : part < READ_MOST ? LATER : DONE; /* a short read: epoll tells of the rest */
    }
    while (*size < READ_MOST) {
        size_t part;
        int result = SSL_read_ex(c->tls, room + LINE_MOST + *size, READ_MOST - *size, &part);
        if (result <= 0)
            return tls_problem(c, result, interest);
        *size += part;
    }
    return DONE;
}

static void note_times(uint64_t rcpts, uint64_t transactions)
{
    if (counts.rcpts == rcpts && counts.transactions == transactions)
        return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (counts.rcpts != rcpts) {
        last_rcpt = now;
        if (rcpts == 0)
            first_rcpt = now;
    }
    if (counts.transactions != transactions)
        last_message = now;
}

static void take(struct connection *c, size_t size)
{
    uint64_t rcpts = counts.rcpts, transactions = counts.transactions;
    size_t begun = c->begun.size;
    char *data = room + LINE_MOST - begun;
    if (begun)
        memcpy(data, c->begun.data, begun);
    c->begun.size = 0;
    enum then then;
    size_t taken = smtp_take(&c->smtp, data, begun + size, &out, &then);
    note_times(rcpts, transactions);
    c->starting = then == START_TLS; /* what came behind STARTTLS in the clear is not believed */
    c->closing = then == CLOSE;
    if (then == GO_ON && taken < begun + size)
        text_add(&c->begun, data + taken, begun + size - taken);
}

static void start_tls(struct connection *c)
{
    c->starting = false;
    c->tls = SSL_new(context);
    if (c->tls == NULL || !SSL_set_fd(c->tls, c->fd))
        stop("TLS: %s", ERR_error_string(ERR_get_error(), NULL));
    SSL_set_accept_state(c->tls);
    smtp_tls(&c->smtp);
}

/* The replies are out: what was waiting for that happens now. */
static void replied(struct connection *c)
{
    if (c->starting)
        start_tls(c);
    if (c->closing) {
        if (c->tls != NULL)
            SSL_shutdown(c->tls);
        ERR_clear_error();
        shutdown(c->fd, SHUT_WR);
    }
}

/* Whatever the connection can do now; GONE: it is to be ended. */
static enum progress turn(struct connection *c)
{
    uint32_t interest = EPOLLIN;
    if (c->pending.size) {
        enum progress progress = put_pending(c);
        if (progress != DONE)
            return progress;
        replied(c);
    }
    if (c->closing) { /* its end is waited for, so that what was said last is not lost to a reset */
        ssize_t part = recv(c->fd, room, sizeof room, 0);
        want(c, EPOLLIN);
        return part > 0 || (part < 0 && (errno == EAGAIN || errno == EINTR)) ? LATER : GONE;
    }
    if (c->tls != NULL && !c->handshake) {
        int result = SSL_do_handshake(c->tls);
        if (result <= 0) {
            enum progress progress = tls_problem(c, result, &interest);
            if (progress == LATER)
                want(c, interest);
            return progress;
        }
        c->handshake = true;
        handshakes++;
    }
    size_t size;
    enum progress reading = get(c, &size, &interest);
    if (size) {
        take(c, size);
        if (out.size) {
            enum progress progress = put_out(c);
            if (progress != DONE)
                return progress;
            replied(c);
        }
    }
    if (reading != GONE)
        want(c, interest);
    return reading;
}

static void serve(struct connection *c)
{
    enum progress progress = turn(c);
    if (progress == GONE) {
        end_connection(c);
    } else if (progress == DONE && !c->queued) {
        c->queued = true;
        c->next = again;
        again = c;
    }
}

static void serve_again(void)
{
    struct connection *c = again, *next;
    for (again = NULL; c != NULL; c = next) {
        next = c->next;
        c->queued = false;
        serve(c);
    }
}

static void accept_some(void)
{
    for (int i = 0; i < 64; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
        if (fd < 0) {
            if (out_of_descriptors()) {
                accepting = false;
                watch(EPOLL_CTL_MOD, listener, 0, &listener);
            }
            return;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct connection *c = calloc(1, sizeof *c);
        if (c == NULL)
            stop("out of memory");
        c->fd = fd;
        c->smtp.number = ++connections;
        open_connections++;
        watch(EPOLL_CTL_ADD, fd, c->interest = EPOLLIN, c);
        smtp_greet(&c->smtp, &out);
        if (put_out(c) == GONE)
            end_connection(c);
    }
}

static void answer_some(void)
{
    for (int i = 0; i < 64; i++) {
        uint8_t query[DNS_MOST + 1], answer[DNS_MOST];
        struct sockaddr_storage from;
        socklen_t from_size = sizeof from;
        ssize_t size = recvfrom(dns_socket, query, sizeof query, 0, (struct sockaddr *)&from, &from_size);
        if (size < 0)
            return;
        queries++;
        size_t said = dns_answer(query, (size_t)size, address, answer);
        if (said)
            sendto(dns_socket, answer, said, 0, (struct sockaddr *)&from, from_size);
    }
}

/* ---- the program ---- */

static void use_certificate(const char *file)
{
    context = SSL_CTX_new(TLS_server_method());
    if (context == NULL || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) ||
        SSL_CTX_use_certificate_chain_file(context, file) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, file, SSL_FILETYPE_PEM) != 1)
        stop("%s: %s", file, ERR_error_string(ERR_get_error(), NULL));
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); /* tickets are enough */
    SSL_CTX_set_read_ahead(context, 1); /* many records a read, not two reads a record */
    SSL_CTX_set_default_read_buffer_len(context, RECORDS_MOST);
    rules.starttls = true;
}

static void listen_to(const void *of)
{
    enum heard heard = hear(of);
    if (heard == END)
        finish();
    if (heard == REPORT)
        print_counts();
}

static void loop(void)
{
    struct epoll_event events[256];
    for (;;) {
        int number = epoll_wait(poll_fd, events, 256, again != NULL ? 0 : 1000);
        if (number < 0 && errno != EINTR)
            stop("epoll_wait: %s", strerror(errno));
        if (number == 0 && orphaned())
            finish();
        for (int i = 0; i < number; i++) {
            void *which = events[i].data.ptr;
            if (which == &listener)
                accept_some();
            else if (which == &dns_socket)
                answer_some();
            else if (is_life(which))
                listen_to(which);
            else if (!((struct connection *)which)->queued)
                serve(which);
        }
        serve_again(); /* last: it may end connections that had an event */
    }
}

int main(int argc, char **argv)
{
    enum { LISTEN = 256, DNS, ADDRESS, CERTIFICATE, NO_CHUNKING, NO_PIPELINING, NO_STARTTLS, UNIQUE, KEEP, LEDGER };
    const struct option options[] = {{"listen", required_argument, NULL, LISTEN},
                                     {"dns", required_argument, NULL, DNS},
                                     {"address", required_argument, NULL, ADDRESS},
                                     {"certificate", required_argument, NULL, CERTIFICATE},
                                     {"no-chunking", no_argument, NULL, NO_CHUNKING},
                                     {"no-pipelining", no_argument, NULL, NO_PIPELINING},
                                     {"no-starttls", no_argument, NULL, NO_STARTTLS},
                                     {"unique", no_argument, NULL, UNIQUE},
                                     {"keep", required_argument, NULL, KEEP},
                                     {"ledger", required_argument, NULL, LEDGER},
                                     {0}};
    const char *listen_at = "127.0.0.1:0", *dns_at = NULL, *certificate = NULL;
    bool tls = true;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (option) {
        case LISTEN: listen_at = optarg; break;
        case DNS: dns_at = optarg; break;
        case ADDRESS:
            if (inet_pton(AF_INET, optarg, address) != 1)
                stop("%s is no IPv4 address", optarg);
            break;
        case CERTIFICATE: certificate = optarg; break; /* PEM: the chain and its key */
        case NO_CHUNKING: rules.chunking = false; break;
        case NO_PIPELINING: rules.pipelining = false; break;
        case NO_STARTTLS: tls = false; break;
        case UNIQUE: rules.unique = true; break;
        case KEEP: rules.keep = optarg; break;
        case LEDGER:
            if ((rules.ledger = fopen(optarg, "ae")) == NULL)
                stop("%s: %s", optarg, strerror(errno));
            setvbuf(rules.ledger, NULL, _IOFBF, 1 << 20);
            break;
        default: return 2;
        }
    if (optind < argc)
        stop("%s is not understood", argv[optind]);
    if (certificate != NULL && tls)
        use_certificate(certificate);

    mallopt(M_MMAP_THRESHOLD, 1 << 25); /* buffers of TLS come and go */
    mallopt(M_TRIM_THRESHOLD, 1 << 27);
    live();
    listener = bound(listen_at, SOCK_STREAM);
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, &listener);
    printf("smtp %u\n", port_of(listener));
    if (dns_at != NULL) {
        dns_socket = bound(dns_at, SOCK_DGRAM);
        watch(EPOLL_CTL_ADD, dns_socket, EPOLLIN, &dns_socket);
        printf("dns %u\n", port_of(dns_socket));
    }
    fflush(stdout);
    loop();
}
