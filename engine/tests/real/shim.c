/* Stands between a process and the kernel, loaded with LD_PRELOAD: counts the calls that touch the files under one
 * directory, and at a counted one kills the process or makes the call fail. A seccomp filter traps the calls, so those
 * made without libc are seen as well; the clock is interposed.
 *
 *   ANNALS_SHIM_DIR     the directory; a call on a file elsewhere is neither counted nor touched
 *   ANNALS_SHIM_FILE    16 bytes or more, mapped: the calls so far, and the system call that was acted on (u64 each)
 *   ANNALS_SHIM_CLASSES a sum of the classes below: which calls are counted
 *   ANNALS_SHIM_ACT     "count", "kill", "killmid", "errno" (once), "errnos" (from then on), "short"
 *   ANNALS_SHIM_AT      at which call, from 1
 *   ANNALS_SHIM_ERRNO   for "errno" and "errnos"
 *   ANNALS_CLOCK_SEED   if set, the wall clock jumps by up to a year, either way, at every eighth look
 *
 * When a call is made to fail, a line "!<class> <path>" is written to standard output first. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef __x86_64__
#error "the registers of this machine are not known here"
#endif

enum { WRITE = 1, SYNC = 2, RENAME = 4, UNLINK = 8, SPACE = 16, CREATE = 32, OPEN = 64, READ = 128 };
static const char *const NAMES[] = {"write", "sync", "rename", "unlink", "space", "create", "open", "read"};

/* A sixth argument that no trapped call has: the filter lets through what carries it. */
#define MARK 0x616e6e616c73214dULL

static struct {
    _Atomic uint64_t calls;
    _Atomic uint64_t acted_on;
} *shared;
static char dir[4096];
static size_t dir_len;
static uint64_t classes, at, error;
static enum { COUNT, KILL, KILL_MID, ERRNO, ERRNOS, SHORT } act;

static long call(long nr, long a, long b, long c, long d, long e) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = (long)MARK;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* The path of a file descriptor. */
static const char *path_of(long fd, char *buffer, size_t size) {
    char link[32] = "/proc/self/fd/";
    char digits[20];
    int count = 0, end = 14;
    if (fd < 0) return "";
    do digits[count++] = (char)('0' + fd % 10); while ((fd /= 10) > 0);
    while (count > 0) link[end++] = digits[--count];
    link[end] = 0;
    long len = call(SYS_readlink, (long)link, (long)buffer, (long)size - 1, 0, 0);
    buffer[len < 0 ? 0 : len] = 0;
    return buffer;
}

static uint64_t class_of(long nr, const long *arg) {
    switch (nr) {
    case SYS_write: case SYS_pwrite64: case SYS_writev: case SYS_pwritev: return WRITE;
    case SYS_fsync: case SYS_fdatasync: case SYS_sync_file_range: return SYNC;
    case SYS_rename: case SYS_renameat: case SYS_renameat2: return RENAME;
    case SYS_unlink: case SYS_unlinkat: return UNLINK;
    case SYS_fallocate: case SYS_ftruncate: return SPACE;
    case SYS_mkdir: return CREATE;
    case SYS_open: return arg[1] & O_CREAT ? CREATE : OPEN;
    case SYS_openat: return arg[2] & O_CREAT ? CREATE : OPEN;
    default: return READ;
    }
}

static const char *path_in(long nr, const long *arg, char *buffer, size_t size) {
    switch (nr) {
    case SYS_rename: case SYS_unlink: case SYS_mkdir: case SYS_open: return (const char *)arg[0];
    case SYS_renameat: case SYS_renameat2: case SYS_unlinkat: case SYS_openat: return (const char *)arg[1];
    default: return path_of(arg[0], buffer, size);
    }
}

static void tell(uint64_t class, const char *path) {
    char line[4200] = "!";
    const char *name = NAMES[__builtin_ctzll(class)];
    size_t at = 1, len = strlen(name);
    memcpy(line + at, name, len);
    at += len;
    line[at++] = ' ';
    len = strlen(path);
    if (len > 4096) len = 4096;
    memcpy(line + at, path, len);
    at += len;
    line[at++] = '\n';
    call(SYS_write, 1, (long)line, (long)at, 0, 0);
}

static void die(void) {
    call(SYS_kill, call(SYS_getpid, 0, 0, 0, 0, 0), SIGKILL, 0, 0, 0);
}

/* Whether half of the call can be done. */
static int can_halve(long nr) {
    return nr == SYS_write || nr == SYS_pwrite64 || nr == SYS_read || nr == SYS_pread64;
}

static long halved(long nr, const long *arg) {
    return call(nr, arg[0], arg[1], arg[2] > 1 ? arg[2] / 2 : arg[2], arg[3], arg[4]);
}

/* What a kill in the middle of a call leaves: all of it, or of a write so much as ends at a sector. (Kernels stop between
 * pages, which is less often.) */
static void cut_off(long nr, const long *arg) {
    long len = arg[2];
    if (nr == SYS_pwrite64) {
        len = ((arg[3] + len / 2) & ~511L) - arg[3];
        if (len <= 0) return;
    }
    call(nr, arg[0], arg[1], len, arg[3], arg[4]);
}

static void trapped(int signal, siginfo_t *info, void *context) {
    (void)signal;
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    long nr = info->si_syscall;
    long arg[5] = {regs[REG_RDI], regs[REG_RSI], regs[REG_RDX], regs[REG_R10], regs[REG_R8]};
    char buffer[4096];
    uint64_t class = class_of(nr, arg);
    if (class & classes) {
        const char *path = path_in(nr, arg, buffer, sizeof buffer);
        if (strncmp(path, dir, dir_len) == 0) {
            uint64_t number = atomic_fetch_add(&shared->calls, 1) + 1;
            if (number == at || (act == ERRNOS && at != 0 && number > at)) {
                atomic_store(&shared->acted_on, (uint64_t)nr + 1);
                switch (act) {
                case COUNT: break;
                case KILL: die(); break;
                case KILL_MID:
                    cut_off(nr, arg);
                    die();
                    break;
                case ERRNO: case ERRNOS:
                    tell(class, path);
                    regs[REG_RAX] = -(long)error;
                    return;
                case SHORT:
                    if (can_halve(nr)) {
                        regs[REG_RAX] = halved(nr, arg);
                        return;
                    }
                    break;
                }
            }
        }
    }
    regs[REG_RAX] = call(nr, arg[0], arg[1], arg[2], arg[3], arg[4]);
}

static uint64_t number(const char *name) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : 0;
}

static void give_up(const char *what) {
    fprintf(stderr, "the shim can't work: %s: %s\n", what, strerror(errno));
    _exit(97);
}

#define TRAP(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)

__attribute__((constructor)) static void begin(void) {
    const char *where = getenv("ANNALS_SHIM_DIR"), *what = getenv("ANNALS_SHIM_ACT"), *file = getenv("ANNALS_SHIM_FILE");
    if (!where || !what || !file) return;
    dir_len = strlen(where);
    if (dir_len >= sizeof dir) give_up("the directory's name is too long");
    memcpy(dir, where, dir_len);
    classes = number("ANNALS_SHIM_CLASSES");
    at = number("ANNALS_SHIM_AT");
    error = number("ANNALS_SHIM_ERRNO");
    act = !strcmp(what, "kill") ? KILL : !strcmp(what, "killmid") ? KILL_MID : !strcmp(what, "errno") ? ERRNO
        : !strcmp(what, "errnos") ? ERRNOS : !strcmp(what, "short") ? SHORT : COUNT;
    int fd = open(file, O_RDWR);
    if (fd < 0) give_up(file);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared == MAP_FAILED) give_up("mmap");

    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};
    action.sa_sigaction = trapped;
    if (sigaction(SIGSYS, &action, NULL)) give_up("sigaction");
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)MARK, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5]) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(MARK >> 32), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        TRAP(SYS_write), TRAP(SYS_pwrite64), TRAP(SYS_writev), TRAP(SYS_pwritev),
        TRAP(SYS_fsync), TRAP(SYS_fdatasync), TRAP(SYS_sync_file_range),
        TRAP(SYS_rename), TRAP(SYS_renameat), TRAP(SYS_renameat2), TRAP(SYS_unlink), TRAP(SYS_unlinkat),
        TRAP(SYS_fallocate), TRAP(SYS_ftruncate), TRAP(SYS_mkdir), TRAP(SYS_open), TRAP(SYS_openat),
        TRAP(SYS_read), TRAP(SYS_pread64),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) give_up("no_new_privs");
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) give_up("seccomp");
}

/* The clock. */
int clock_gettime(clockid_t id, struct timespec *time) {
    static _Atomic uint64_t looks;
    static _Atomic int64_t shift;
    static const char *seed;
    static _Atomic int asked;
    long result = syscall(SYS_clock_gettime, id, time);
    if (!atomic_exchange(&asked, 1)) seed = getenv("ANNALS_CLOCK_SEED");
    if (seed && id == CLOCK_REALTIME && result == 0) {
        uint64_t look = atomic_fetch_add(&looks, 1);
        if (look % 8 == 7) {
            uint64_t z = (strtoull(seed, NULL, 10) + look) * 0x9E3779B97F4A7C15ULL;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
            atomic_store(&shift, (int64_t)((z ^ (z >> 27)) % (2 * 31536000ULL)) - 31536000);
        }
        time->tv_sec += atomic_load(&shift);
    }
    return (int)result;
}
