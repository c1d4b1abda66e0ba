// What a test does to the daemon from below: loaded before libc (LD_PRELOAD), it makes the disk fail or hang and the wall
// clock jump, as a file says that the test writes and this maps. Each number there is a 64-bit integer of the machine's
// own byte order:
//
//   0  fdatasync fails with this error number
//   1  fdatasync hangs while this is not 0
//   2  writing to the record, and opening it to write, fails with this error number
//   3  seconds that the wall clock is ahead
//   4  opening a file whose name ends in .yaml hangs while this is not 0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SYNC_FAILS, SYNC_HANGS, READ_ONLY, CLOCK_AHEAD, CONFIGURED_HANGS, NUMBERS };

static const volatile int64_t *control;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("AEGIS_TEST_FAULTS");
    if (!path) return;
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) abort();
    void *mapped = mmap(NULL, NUMBERS * sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) abort();
    close(file);
    control = mapped;
}

static int64_t told(int number) { return control ? control[number] : 0; }

static int fails(int number) {
    int64_t error = told(number);
    if (error) errno = (int)error;
    return error != 0;
}

int fdatasync(int fd) {
    while (told(SYNC_HANGS)) usleep(1000);
    return fails(SYNC_FAILS) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    return fails(READ_ONLY) ? -1 : syscall(SYS_pwrite64, fd, bytes, length, at);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0;
    va_end(rest);
    size_t length = strlen(path);
    while (length > 5 && !strcmp(path + length - 5, ".yaml") && told(CONFIGURED_HANGS)) usleep(1000);
    if ((flags & O_ACCMODE) != O_RDONLY && strstr(path, "/record.") && fails(READ_ONLY)) return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += told(CLOCK_AHEAD);
    return failed;
}
