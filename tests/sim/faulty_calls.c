/* Lets one call fail that writes a file: preloaded into a test, which says which (tests/sim/calls.py). One thread. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char place[512];
static const char *struck = "";
static long left;
static int error;

/* Let the number-th call from now on that writes a file whose path begins with `where` fail; 0: none. */
void faulty_arm(const char *where, long number, int with)
{
    snprintf(place, sizeof place, "%s", where);
    left = number;
    error = with;
    struck = "";
}

/* The call that failed since, or nothing. */
const char *faulty_struck(void)
{
    return struck;
}

static int strikes(int fd, const char *call)
{
    char link[32], path[512];
    ssize_t length;

    if (!left)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path);
    if (length < 0 || (size_t)length < strlen(place) || memcmp(path, place, strlen(place)) || --left)
        return 0;
    struck = call;
    return 1;
}

#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    ssize_t (*next)(int, const void *, size_t, off64_t) = NEXT(ssize_t (*)(int, const void *, size_t, off64_t), "pwrite64");

    if (strikes(fd, "pwrite")) {
        next(fd, data, size / 2, at); /* what is half done stays */
        errno = error;
        return -1;
    }
    return next(fd, data, size, at);
}

int ftruncate64(int fd, off64_t size)
{
    if (strikes(fd, "ftruncate")) {
        errno = error;
        return -1;
    }
    return NEXT(int (*)(int, off64_t), "ftruncate64")(fd, size);
}

int fsync(int fd)
{
    if (strikes(fd, "fsync")) {
        errno = EIO;
        return -1;
    }
    return NEXT(int (*)(int), "fsync")(fd);
}
