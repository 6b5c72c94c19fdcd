/* Between libc and the program: counts what changes the files of one folder, and strikes at the N-th.

   Loaded with LD_PRELOAD; it does nothing until `shim_arm` is given a control block, which lies in memory that
   all processes of a run share, so that they count together. SQLite's calls and Python's are seen alike. Where
   it strikes it kills (before the call, after it, or in the midst of a write), or lets the call fail. What was
   done can be written down, octets and all, for a power cut to be played afterwards (power.py).

   The layout of `struct control` is repeated in shim.py. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { WRITE = 1, SYNC, TRUNCATE, CREATE, RENAME, UNLINK, MKDIR, RMDIR, OPEN };
enum blow { COUNT, BEFORE, AFTER, TORN, FAIL, SHORT };
enum { LOOKED_AT = 8192, ROOM = 4096 };

struct control {
    int64_t at;        /* the call to strike at, from 1 */
    int64_t until;     /* the last one that fails: `at` for once */
    int32_t blow;
    int32_t error;     /* of a call that fails */
    int32_t kinds;     /* a bit for each kind that fails behind `at` */
    int32_t group;     /* kill the whole process group, not only who calls */
    int64_t keep;      /* of a write that is torn or short: so many octets of a thousand */
    int64_t count;
    int64_t struck;    /* the call at which it was */
    int32_t struck_kind;
    int32_t failed;    /* how many calls were let fail */
    int64_t struck_ns; /* CLOCK_MONOTONIC */
    int64_t mails;     /* MAIL commands of a thread after a call of its own had failed */
    int32_t trace;     /* a descriptor to write to what was done, or -1 */
    int32_t spare;
    char struck_path[512];
    char folder[512];  /* with a slash at the end */
    uint8_t seen[LOOKED_AT]; /* the kind of each call */
};

static struct control *control;
static __thread int failed_here; /* in this very thread: who asked for the call knows of it */

void shim_arm(struct control *with) { control = with; }

#define REAL(name) \
    static __typeof__(&name) real_##name; \
    if (!real_##name) real_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* --- which calls count ------------------------------------------------------------------------------ */

static int mine(const char *path)
{
    size_t length = strlen(control->folder);
    return strncmp(path, control->folder, length) == 0 || (strncmp(path, control->folder, length - 1) == 0
        && path[length - 1] == 0);
}

static int mine_fd(int fd, char *path)
{
    char link[64];
    if (!control || fd < 0 || fd == control->trace)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, ROOM - 1);
    if (n <= 0 || path[0] != '/')
        return 0;
    path[n] = 0;
    return mine(path);
}

static int mine_at(int folder, const char *given, char *path)
{
    if (!control || !given)
        return 0;
    if (given[0] == '/') {
        if (strlen(given) >= ROOM)
            return 0;
        strcpy(path, given);
    } else {
        char link[64], base[ROOM];
        snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
        ssize_t n = readlink(link, base, ROOM - 1);
        if (n <= 0)
            return 0;
        base[n] = 0;
        if (snprintf(path, ROOM, "%s/%s", base, given) >= ROOM)
            return 0;
    }
    return mine(path);
}

/* --- what is written down ----------------------------------------------------------------------------- */

static void note(enum kind kind, const char *path, const char *other, int64_t at, const void *data, size_t n,
                 int error)
{
    if (control->trace < 0)
        return;
    REAL(write);
    int saved = errno;
    uint32_t head[4] = { kind, strlen(path), other ? strlen(other) : 0, error };
    int64_t where[2] = { at, data ? n : 0 };
    size_t total = sizeof head + sizeof where + head[1] + head[2] + where[1];
    char *all = malloc(total), *p = all;
    p = mempcpy(p, head, sizeof head);
    p = mempcpy(p, where, sizeof where);
    p = mempcpy(p, path, head[1]);
    if (other)
        p = mempcpy(p, other, head[2]);
    if (data)
        p = mempcpy(p, data, n);
    if (real_write(control->trace, all, total) != (ssize_t)total)
        abort();
    free(all);
    errno = saved;
}

/* --- the blow ----------------------------------------------------------------------------------------- */

static void die(void)
{
    kill(control->group ? 0 : getpid(), SIGKILL);
    for (;;)
        pause();
}

/* What befalls the call that is made now. */
static enum blow next(enum kind kind, const char *path)
{
    int64_t number = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
    if (number <= LOOKED_AT)
        control->seen[number - 1] = kind;
    enum blow blow = control->blow;
    if (blow == COUNT || number < control->at || number > control->until)
        return COUNT;
    if (number > control->at && !(control->kinds >> kind & 1))
        return COUNT;
    if (number == control->at) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        control->struck_kind = kind;
        snprintf(control->struck_path, sizeof control->struck_path, "%s", path);
        control->struck_ns = now.tv_sec * 1000000000LL + now.tv_nsec;
        __atomic_store_n(&control->struck, number, __ATOMIC_SEQ_CST);
    }
    failed_here |= blow == FAIL;
    if (blow == FAIL)
        __atomic_add_fetch(&control->failed, 1, __ATOMIC_SEQ_CST);
    if (blow == BEFORE || (blow == TORN && kind != WRITE))
        die();
    return blow;
}

static size_t part(size_t whole)
{
    size_t kept = whole * control->keep / 1000;
    return kept ? kept : whole > 0; /* of none, nobody knows what it means */
}

/* Call, unless it is to fail; note it; die behind it where it is so. */
#define DO(blow, kind, path, other, at, data, n, call) \
    if (blow == FAIL) { \
        note(kind, path, other, at, data, n, control->error); \
        errno = control->error; \
        return -1; \
    } \
    __typeof__(call) result = call; \
    if (result >= 0) \
        note(kind, path, other, at, data, kind == WRITE ? (size_t)result : n, 0); \
    if (blow == AFTER || blow == TORN) \
        die(); \
    return result

static ssize_t written_at(int fd, const void *data, size_t n, off_t at)
{
    REAL(pwrite);
    return real_pwrite(fd, data, n, at);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    char path[ROOM];
    if (!mine_fd(fd, path))
        return written_at(fd, data, n, at);
    enum blow blow = next(WRITE, path);
    if (blow == TORN || blow == SHORT)
        n = part(n);
    DO(blow, WRITE, path, NULL, at, data, n, written_at(fd, data, n, at));
}
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) { return pwrite(fd, data, n, at); }

ssize_t write(int fd, const void *data, size_t n)
{
    REAL(write);
    char path[ROOM];
    if (!mine_fd(fd, path))
        return real_write(fd, data, n);
    enum blow blow = next(WRITE, path);
    if (blow == TORN || blow == SHORT)
        n = part(n);
    int64_t at = (fcntl(fd, F_GETFL) & O_APPEND) ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
    DO(blow, WRITE, path, NULL, at, data, n, real_write(fd, data, n));
}

#define SYNCING(name) \
    int name(int fd) \
    { \
        REAL(name); \
        char path[ROOM]; \
        if (!mine_fd(fd, path)) \
            return real_##name(fd); \
        enum blow blow = next(SYNC, path); \
        DO(blow, SYNC, path, NULL, 0, NULL, 0, real_##name(fd)); \
    }
SYNCING(fsync)
SYNCING(fdatasync)

static int cut(int fd, off_t size)
{
    REAL(ftruncate);
    return real_ftruncate(fd, size);
}

int ftruncate(int fd, off_t size)
{
    char path[ROOM];
    if (!mine_fd(fd, path))
        return cut(fd, size);
    enum blow blow = next(TRUNCATE, path);
    DO(blow, TRUNCATE, path, NULL, size, NULL, 0, cut(fd, size));
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

static int opened(int folder, const char *given, int flags, mode_t mode)
{
    REAL(openat);
    char path[ROOM];
    struct stat found;
    if ((flags & O_ACCMODE) == O_RDONLY || !mine_at(folder, given, path))
        return real_openat(folder, given, flags, mode);
    enum kind kind = fstatat(folder, given, &found, 0) == 0 ? OPEN : CREATE; /* to be written */
    enum blow blow = next(kind, path);
    DO(blow, kind, path, NULL, 0, NULL, 0, real_openat(folder, given, flags, mode));
}

#define OPENING(name, parameters, folder, given) \
    int name parameters \
    { \
        mode_t mode = 0; \
        if (flags & O_CREAT) { \
            va_list rest; \
            va_start(rest, flags); \
            mode = va_arg(rest, mode_t); \
            va_end(rest); \
        } \
        return opened(folder, given, flags, mode); \
    }
OPENING(open, (const char *path, int flags, ...), AT_FDCWD, path)
OPENING(open64, (const char *path, int flags, ...), AT_FDCWD, path)
OPENING(openat, (int folder, const char *path, int flags, ...), folder, path)
OPENING(openat64, (int folder, const char *path, int flags, ...), folder, path)

int renameat(int folder, const char *from, int other, const char *to)
{
    REAL(renameat);
    char path[ROOM], target[ROOM];
    if (!mine_at(folder, from, path) || !mine_at(other, to, target))
        return real_renameat(folder, from, other, to);
    enum blow blow = next(RENAME, path);
    DO(blow, RENAME, path, target, 0, NULL, 0, real_renameat(folder, from, other, to));
}
int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int unlinkat(int folder, const char *given, int flags)
{
    REAL(unlinkat);
    char path[ROOM];
    struct stat found;
    if (!mine_at(folder, given, path) || fstatat(folder, given, &found, AT_SYMLINK_NOFOLLOW) != 0)
        return real_unlinkat(folder, given, flags);
    enum kind kind = flags & AT_REMOVEDIR ? RMDIR : UNLINK;
    enum blow blow = next(kind, path);
    DO(blow, kind, path, NULL, 0, NULL, 0, real_unlinkat(folder, given, flags));
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int folder, const char *given, mode_t mode)
{
    REAL(mkdirat);
    char path[ROOM];
    struct stat found;
    if (!mine_at(folder, given, path) || fstatat(folder, given, &found, 0) == 0)
        return real_mkdirat(folder, given, mode);
    enum blow blow = next(MKDIR, path);
    DO(blow, MKDIR, path, NULL, 0, NULL, 0, real_mkdirat(folder, given, mode));
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* --- what leaves after it ------------------------------------------------------------------------------ */

static void listen_for_mail(const void *data, size_t n)
{
    if (failed_here && n && memmem(data, n, "MAIL FROM:", 10))
        __atomic_add_fetch(&control->mails, 1, __ATOMIC_SEQ_CST);
}

ssize_t send(int fd, const void *data, size_t n, int flags)
{
    REAL(send);
    listen_for_mail(data, n);
    return real_send(fd, data, n, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg);
    for (size_t i = 0; i < message->msg_iovlen; i++)
        listen_for_mail(message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
    return real_sendmsg(fd, message, flags);
}
