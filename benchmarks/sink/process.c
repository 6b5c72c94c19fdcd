#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

int poll_fd;

static int signals;
static pid_t parent;
static const char SIGNALS, INPUT; /* what the events of each point to */

void stop(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", program);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

void live(void)
{
    parent = getppid();
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT); /* is the parent's business */
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    watch(EPOLL_CTL_ADD, signals, EPOLLIN, (void *)&SIGNALS);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = (void *)&INPUT};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event) && errno != EPERM) /* a file, or /dev/null */
        stop("standard input: %s", strerror(errno));
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

bool is_life(const void *of) { return of == &SIGNALS || of == &INPUT; }

enum heard hear(const void *of)
{
    if (of == &INPUT) {
        char ignored[256];
        ssize_t size = read(STDIN_FILENO, ignored, sizeof ignored);
        return size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR) ? END : NOTHING;
    }
    struct signalfd_siginfo info;
    while (read(signals, &info, sizeof info) == sizeof info)
        if (info.ssi_signo != SIGINT)
            return info.ssi_signo == SIGTERM ? END : REPORT; /* epoll tells of the next one again */
    return NOTHING;
}

bool orphaned(void) { return getppid() != parent; }

double cpu_s(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

struct addrinfo *address_of(const char *where, int type)
{
    const char *colon = strrchr(where, ':');
    if (colon == NULL)
        stop("ADDRESS:PORT is wanted, not %s", where);
    char host[256];
    bool bracketed = where[0] == '[' && colon[-1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(colon - where) - 2 * bracketed, where + bracketed);
    struct addrinfo hints = {.ai_socktype = type, .ai_flags = AI_PASSIVE | AI_NUMERICHOST}, *found;
    int problem = getaddrinfo(host, colon + 1, &hints, &found);
    if (problem)
        stop("%s: %s", where, gai_strerror(problem));
    return found;
}

int bound(const char *where, int type)
{
    struct addrinfo *found = address_of(where, type);
    int fd = socket(found->ai_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, much = 1 << 22;
    if (fd < 0)
        stop("socket: %s", strerror(errno));
    if (type == SOCK_STREAM)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    else
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &much, sizeof much);
    if (bind(fd, found->ai_addr, found->ai_addrlen) || (type == SOCK_STREAM && listen(fd, 4096)))
        stop("%s: %s", where, strerror(errno));
    freeaddrinfo(found);
    return fd;
}

unsigned port_of(int fd)
{
    struct sockaddr_storage name;
    socklen_t size = sizeof name;
    if (getsockname(fd, (struct sockaddr *)&name, &size))
        stop("getsockname: %s", strerror(errno));
    return ntohs(name.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&name)->sin6_port
                                            : ((struct sockaddr_in *)&name)->sin_port);
}

void watch(int operation, int fd, uint32_t interest, void *data)
{
    struct epoll_event event = {.events = interest, .data.ptr = data};
    if (epoll_ctl(poll_fd, operation, fd, &event))
        stop("epoll_ctl: %s", strerror(errno));
}

bool out_of_descriptors(void)
{
    return errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
}
