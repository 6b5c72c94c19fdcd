/* A road between a client and a server: whatever goes in comes out half a round trip later.

   Each direction keeps its order and has unlimited bandwidth; TCP's own growth of the window is not played. The
   server is called one and a half round trips after the client, so that its greeting arrives after two: one for
   the handshake of TCP, which the client believes to be done at once, and one for the greeting.

   All octets are late by the same time, so they wait in one queue in the order in which they came, and one timer
   is enough. Prints `port PORT` and, at its end, its counters as a line of JSON; it ends as the sink does. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

enum { READ_MOST = 1 << 18, ON_THE_WAY_MOST = 1 << 26 }; /* octets: of one read; of one direction */

struct side { /* one of the two sockets of a pair, and what is to be written to it */
    int fd;
    uint32_t interest; /* what epoll watches for; 0: nothing, then it does not know the socket */
    bool connected, read_end, write_end; /* read_end: it said all; write_end: the other's end is to be told */
    bool told;         /* its end of writing was */
    size_t on_the_way; /* octets read here that the other side has not been given yet */
    char *late;        /* due, but the socket had no room */
    size_t late_at, late_size, late_room;
    struct pair *pair;
};

struct pair {
    struct side client, server;
    uint64_t travelling; /* parcels that point here */
    bool dead, listed;
    struct pair *next;   /* of those to be freed */
};

struct parcel {
    int64_t due;
    struct side *to;
    struct parcel *next;
    size_t size; /* 0: the end, or (among the calls) the call */
    char data[];
};

struct queue {
    struct parcel *first, **last;
};

const char *program = "delay";
static int listener, timer;
static int64_t half_ns, set_for;
static struct addrinfo *target;
static struct queue octets = {NULL, &octets.first}, calls = {NULL, &calls.first};
static struct pair *dead;
static bool accepting = true;
static uint64_t connections, carried[2]; /* octets: to the server, to the client */
static char room[READ_MOST];

static int64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static void finish(void)
{
    printf("{\"connections\": %llu, \"to_server\": %llu, \"to_client\": %llu, \"cpu_s\": %.6f}\n",
           (unsigned long long)connections, (unsigned long long)carried[0], (unsigned long long)carried[1], cpu_s());
    fflush(stdout);
    exit(0);
}

static struct side *other(struct side *side)
{
    return side == &side->pair->client ? &side->pair->server : &side->pair->client;
}

/* ---- what is watched ---- */

static void look(struct side *side)
{
    if (side->fd < 0)
        return;
    uint32_t interest = 0;
    if (!side->read_end && side->on_the_way < ON_THE_WAY_MOST && side->connected)
        interest |= EPOLLIN;
    if (side->late_size > side->late_at || !side->connected)
        interest |= EPOLLOUT;
    if (interest == side->interest)
        return;
    /* A socket that broke would wake us for ever, even if nothing is asked: so it is taken out. */
    if (interest == 0)
        epoll_ctl(poll_fd, EPOLL_CTL_DEL, side->fd, NULL);
    else
        watch(side->interest ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, side->fd, interest, side);
    side->interest = interest;
}

static void end_pair(struct pair *pair)
{
    for (int i = 0; i < 2; i++) {
        struct side *side = i ? &pair->server : &pair->client;
        if (side->fd >= 0)
            close(side->fd);
        side->fd = -1;
        free(side->late);
        side->late = NULL;
        side->late_at = side->late_size = 0;
    }
    pair->dead = true;
    if (!accepting) {
        accepting = true;
        watch(EPOLL_CTL_MOD, listener, EPOLLIN, &listener);
    }
}

/* Freed when nothing points to it any more: no parcel, and no event of this round. */
static void bury(struct pair *pair)
{
    if (pair->dead && pair->travelling == 0 && !pair->listed) {
        pair->listed = true;
        pair->next = dead;
        dead = pair;
    }
}

static void free_dead(void)
{
    while (dead != NULL) {
        struct pair *pair = dead;
        dead = pair->next;
        free(pair);
    }
}

/* ---- the queues ---- */

static void enqueue(struct queue *queue, struct side *to, int64_t due, const char *data, size_t size)
{
    struct parcel *parcel = malloc(sizeof *parcel + size);
    if (parcel == NULL)
        stop("out of memory");
    *parcel = (struct parcel){.due = due, .to = to, .size = size};
    if (size)
        memcpy(parcel->data, data, size);
    to->pair->travelling++;
    *queue->last = parcel;
    queue->last = &parcel->next;
}

static struct parcel *due_of(struct queue *queue, int64_t at)
{
    struct parcel *parcel = queue->first;
    if (parcel == NULL || parcel->due > at)
        return NULL;
    queue->first = parcel->next;
    if (queue->first == NULL)
        queue->last = &queue->first;
    return parcel;
}

static void set_timer(void)
{
    int64_t next = octets.first != NULL ? octets.first->due : 0;
    if (calls.first != NULL && (next == 0 || calls.first->due < next))
        next = calls.first->due;
    if (next == set_for)
        return;
    set_for = next;
    struct itimerspec at = {.it_value = {next / 1000000000, next % 1000000000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
}

/* ---- the sockets ---- */

static void tell_end(struct side *side)
{
    if (!side->write_end || side->told || !side->connected || side->late_size > side->late_at)
        return;
    side->told = true;
    shutdown(side->fd, SHUT_WR);
    if (other(side)->told)
        end_pair(side->pair);
}

/* Writes what it can; returns how much, or -1 where the connection is broken. */
static ssize_t give(struct side *side, const char *data, size_t size)
{
    if (!side->connected)
        return 0;
    ssize_t written = send(side->fd, data, size, MSG_NOSIGNAL);
    if (written < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    other(side)->on_the_way -= (size_t)written;
    carried[side == &side->pair->client] += (uint64_t)written;
    return written;
}

static void keep(struct side *side, const char *data, size_t size)
{
    if (side->late_at == side->late_size)
        side->late_at = side->late_size = 0;
    if (side->late_size + size > side->late_room) {
        side->late_room = (side->late_size + size) * 2;
        side->late = realloc(side->late, side->late_room);
        if (side->late == NULL)
            stop("out of memory");
    }
    memcpy(side->late + side->late_size, data, size);
    side->late_size += size;
}

static void deliver(struct side *side, const char *data, size_t size)
{
    if (size == 0) {
        side->write_end = true;
    } else if (side->late_size > side->late_at) {
        keep(side, data, size);
    } else {
        ssize_t written = give(side, data, size);
        if (written < 0) {
            end_pair(side->pair);
            return;
        }
        if ((size_t)written < size)
            keep(side, data + written, size - (size_t)written);
    }
    tell_end(side);
    look(side);
    look(other(side));
}

static void call(struct side *server)
{
    int fd = socket(target->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || (connect(fd, target->ai_addr, target->ai_addrlen) && errno != EINPROGRESS)) {
        if (fd >= 0)
            close(fd);
        end_pair(server->pair);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    server->fd = fd;
    look(server); /* writable when connected */
}

static void deliver_due(void)
{
    uint64_t times;
    if (read(timer, &times, sizeof times) < 0 && errno != EAGAIN)
        stop("the timer: %s", strerror(errno));
    set_for = 0;
    int64_t at = now();
    struct queue *queues[] = {&calls, &octets};
    for (int i = 0; i < 2; i++)
        for (struct parcel *parcel; (parcel = due_of(queues[i], at)) != NULL; free(parcel)) {
            struct pair *pair = parcel->to->pair;
            pair->travelling--;
            if (!pair->dead && i == 0)
                call(parcel->to);
            else if (!pair->dead)
                deliver(parcel->to, parcel->data, parcel->size);
            bury(pair);
        }
}

static void take(struct side *side)
{
    ssize_t size = recv(side->fd, room, sizeof room, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    side->read_end = size <= 0; /* a reset arrives as an end */
    if (size > 0)
        side->on_the_way += (size_t)size;
    enqueue(&octets, other(side), now() + half_ns, room, size > 0 ? (size_t)size : 0);
}

static void serve(struct side *side, uint32_t events)
{
    if (side->fd < 0)
        return;
    if (!side->connected) {
        int problem = 0;
        socklen_t size = sizeof problem;
        if (getsockopt(side->fd, SOL_SOCKET, SO_ERROR, &problem, &size) || problem) {
            end_pair(side->pair);
            bury(side->pair);
            return;
        }
        side->connected = true;
    }
    if (side->late_size > side->late_at) {
        ssize_t written = give(side, side->late + side->late_at, side->late_size - side->late_at);
        if (written < 0) {
            end_pair(side->pair);
            bury(side->pair);
            return;
        }
        side->late_at += (size_t)written;
    }
    tell_end(side);
    if (side->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !side->read_end)
        take(side);
    look(side);
    look(other(side));
    bury(side->pair);
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
        struct pair *pair = calloc(1, sizeof *pair);
        if (pair == NULL)
            stop("out of memory");
        connections++;
        pair->client = (struct side){.fd = fd, .connected = true, .pair = pair};
        pair->server = (struct side){.fd = -1, .pair = pair};
        enqueue(&calls, &pair->server, now() + 3 * half_ns, NULL, 0);
        look(&pair->client);
    }
}

/* ---- the program ---- */

static void loop(void)
{
    struct epoll_event events[256];
    for (;;) {
        set_timer();
        int number = epoll_wait(poll_fd, events, 256, 1000);
        if (number < 0 && errno != EINTR)
            stop("epoll_wait: %s", strerror(errno));
        if (number == 0 && orphaned())
            finish();
        for (int i = 0; i < number; i++) {
            void *which = events[i].data.ptr;
            if (which == &timer)
                deliver_due();
            else if (which == &listener)
                accept_some();
            else if (!is_life(which))
                serve(which, events[i].events);
            else if (hear(which) == END)
                finish();
        }
        free_dead();
    }
}

int main(int argc, char **argv)
{
    const struct option options[] = {{"listen", required_argument, NULL, 'l'},
                                     {"to", required_argument, NULL, 't'},
                                     {"rtt-ms", required_argument, NULL, 'r'},
                                     {0}};
    const char *listen_at = "127.0.0.1:0";
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (option) {
        case 'l': listen_at = optarg; break;
        case 't': target = address_of(optarg, SOCK_STREAM); break;
        case 'r': half_ns = (int64_t)(strtod(optarg, NULL) * 1e6 / 2); break;
        default: return 2;
        }
    if (optind < argc || target == NULL || half_ns < 0)
        stop("--to ADDRESS:PORT and --rtt-ms MILLISECONDS are wanted");
    live();
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    watch(EPOLL_CTL_ADD, timer, EPOLLIN, &timer);
    listener = bound(listen_at, SOCK_STREAM);
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, &listener);
    printf("port %u\n", port_of(listener));
    fflush(stdout);
    loop();
}
