/* What the small servers here have in common (process.c): sockets, and that none outlives its parent. */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdbool.h>
#include <stdint.h>

enum heard { NOTHING, REPORT, END };

extern const char *program; /* its name, for what it says on standard error */
extern int poll_fd;         /* the epoll that all is watched by */

void stop(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void live(void);              /* makes poll_fd, watches signals and standard input, lifts the limit of descriptors */
bool is_life(const void *of); /* whether an event's pointer is of what `live` watches */
enum heard hear(const void *of);
bool orphaned(void);
double cpu_s(void);

int bound(const char *where, int type); /* ADDRESS:PORT or [ADDRESS]:PORT, listening where it is a stream */
struct addrinfo *address_of(const char *where, int type);
unsigned port_of(int fd);
void watch(int operation, int fd, uint32_t interest, void *data);
bool out_of_descriptors(void); /* errno says so, or something like it */

#endif
