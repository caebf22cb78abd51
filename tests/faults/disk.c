/* What a disk holds after a power cut, and what a program meets when a disk fails.
 *
 * Preloaded (LD_PRELOAD) into a process that writes below FAULTS_DIR, this library
 *
 * - keeps in FAULTS_SHADOW what is certain to be on the disk: a file's bytes as of its last fsync or fdatasync, a
 *   folder's names as of the folder's last fsync. The page cache survives a kill, so a kill alone cannot show that a
 *   sync is missing; a start on a folder made of the shadow can.
 * - counts the calls that change the disk below FAULTS_DIR, once the file FAULTS_ARM is there, and writes each to
 *   FAULTS_LOG: number, name, path;
 * - at call number FAULTS_AT does what FAULTS_DO says: `kill` before it, `kill-after` it, or fail it with `eio` or
 *   `enospc`. With FAULTS_STICKY set, later calls fail too.
 * - with FAULTS_LIE set to a part of a path, says that a sync of that path was done when it was not.
 *
 * Shadow: files/<inode> holds bytes, folders/<inode> lines "<kind> <inode> <name>". Files that lose their last name go
 * to trash/, so that an inode is never used twice.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char dir[PATH_MAX], shadow[PATH_MAX], arm[PATH_MAX], lie[PATH_MAX];
static long at, count, trashed;
static const char *action = "";
static int log_fd = -1, sticky, armed;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void copy_env(char *to, const char *name) {
    const char *value = getenv(name);
    snprintf(to, PATH_MAX, "%s", value ? value : "");
}

__attribute__((constructor)) static void start(void) {
    char log[PATH_MAX];
    copy_env(dir, "FAULTS_DIR");
    copy_env(shadow, "FAULTS_SHADOW");
    copy_env(arm, "FAULTS_ARM");
    copy_env(lie, "FAULTS_LIE");
    copy_env(log, "FAULTS_LOG");
    at = getenv("FAULTS_AT") ? atol(getenv("FAULTS_AT")) : 0;
    action = getenv("FAULTS_DO") ? getenv("FAULTS_DO") : "";
    sticky = getenv("FAULTS_STICKY") != NULL;
    if (*log) log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* ---- paths ---- */

static int is_below(const char *path) {
    size_t length = strlen(dir);
    return length && !strncmp(path, dir, length) && (path[length] == '/' || !path[length]);
}

/* The whole path of an open file; 0 when it does not lie below the folder. */
static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlink, link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

/* The whole path of a name, which need not exist. */
static int path_at(int at_fd, const char *name, char *path) {
    char base[PATH_MAX];
    if (!name) return 0;
    if (*name == '/') {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        if (at_fd == AT_FDCWD) {
            if (syscall(SYS_getcwd, base, sizeof base) < 0) return 0;
        } else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", at_fd);
            ssize_t length = syscall(SYS_readlink, link, base, sizeof base - 1);
            if (length < 0) return 0;
            base[length] = 0;
        }
        while (!strncmp(name, "./", 2)) name += 2;
        if (snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX) return 0;
    }
    return is_below(path);
}

/* ---- the shadow ---- */

static int shadow_file(char *path, const char *kind, unsigned long inode, const char *suffix) {
    return snprintf(path, PATH_MAX, "%s/%s/%lu%s", shadow, kind, inode, suffix) < PATH_MAX;
}

static void write_all(int fd, const char *bytes, ssize_t length) {
    while (length > 0) {
        ssize_t written = syscall(SYS_write, fd, bytes, length);
        if (written <= 0) abort();
        bytes += written;
        length -= written;
    }
}

static void keep_file(const char *path, unsigned long inode) {
    char temporary[PATH_MAX], kept[PATH_MAX], bytes[65536];
    int from = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (from < 0) return;
    shadow_file(temporary, "files", inode, ".new");
    shadow_file(kept, "files", inode, "");
    int to = (int)syscall(SYS_openat, AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t length;
    while ((length = syscall(SYS_read, from, bytes, sizeof bytes)) > 0) write_all(to, bytes, length);
    syscall(SYS_close, from);
    syscall(SYS_close, to);
    syscall(SYS_rename, temporary, kept);
}

static void keep_folder(const char *path, unsigned long inode) {
    char temporary[PATH_MAX], kept[PATH_MAX], line[PATH_MAX + 64], bytes[32768];
    int from = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0) return;
    shadow_file(temporary, "folders", inode, ".new");
    shadow_file(kept, "folders", inode, "");
    int to = (int)syscall(SYS_openat, AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    long length;
    while ((length = syscall(SYS_getdents64, from, bytes, sizeof bytes)) > 0) {
        for (long offset = 0; offset < length;) {
            struct dirent64 *entry = (struct dirent64 *)(bytes + offset);
            offset += entry->d_reclen;
            if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
            int written = snprintf(line, sizeof line, "%c %lu %s\n", entry->d_type == DT_DIR ? 'd' : 'f',
                                   (unsigned long)entry->d_ino, entry->d_name);
            write_all(to, line, written);
        }
    }
    syscall(SYS_close, from);
    syscall(SYS_close, to);
    syscall(SYS_rename, temporary, kept);
}

/* The sync of an open file has returned. */
static void synced(int fd, const char *path) {
    struct stat found;
    if (!*shadow || (*lie && strstr(path, lie)) || fstat(fd, &found)) return;
    if (S_ISDIR(found.st_mode)) keep_folder(path, found.st_ino);
    else keep_file(path, found.st_ino);
}

/* A name is about to go: the file stays under another, so that its inode is not given to a new one. */
static void keep_inode(const char *path) {
    char name[PATH_MAX];
    if (!*shadow) return;
    if (snprintf(name, sizeof name, "%s/trash/%d-%ld", shadow, (int)getpid(), trashed++) >= PATH_MAX) return;
    syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, name, 0);
}

/* ---- counting and failing ---- */

static void note(const char *call, const char *path) {
    char line[PATH_MAX + 64];
    if (log_fd >= 0) write_all(log_fd, line, snprintf(line, sizeof line, "%ld %s %s\n", count, call, path));
}

static int die_after;

/* Counts a call; nonzero = it fails with this errno. Called with the lock held. */
static int counted(const char *call, const char *path) {
    if (!armed && (!*arm || !syscall(SYS_access, arm, F_OK))) armed = 1;
    if (!armed) return 0;
    count++;
    note(call, path);
    int is_hit = at && (count == at || (sticky && count > at));
    if (!is_hit) return 0;
    if (!strcmp(action, "kill")) syscall(SYS_kill, getpid(), SIGKILL);
    if (!strcmp(action, "kill-after")) die_after = 1;
    if (!strcmp(action, "eio")) return EIO;
    if (!strcmp(action, "enospc")) return ENOSPC;
    return 0;
}

static void done(void) {
    if (die_after) syscall(SYS_kill, getpid(), SIGKILL);
}

/* Runs a call on a path that is below the folder, counted; other calls just run. */
#define GUARDED(is_ours, name, path, call)                  \
    if (!(is_ours)) return call;                            \
    pthread_mutex_lock(&lock);                              \
    int failure = counted(name, path);                      \
    long result = -1;                                       \
    if (failure) errno = failure;                           \
    else result = call;                                     \
    int saved = errno;                                      \
    done();                                                 \
    pthread_mutex_unlock(&lock);                            \
    errno = saved;                                          \
    return result;

/* ---- the calls ---- */

ssize_t write(int fd, const void *bytes, size_t length) {
    char path[PATH_MAX];
    GUARDED(path_of(fd, path), "write", path, syscall(SYS_write, fd, bytes, length))
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    char path[PATH_MAX];
    GUARDED(path_of(fd, path), "write", path, syscall(SYS_pwrite64, fd, bytes, length, offset))
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return pwrite64(fd, bytes, length, offset); }

ssize_t writev(int fd, const struct iovec *parts, int number) {
    char path[PATH_MAX];
    GUARDED(path_of(fd, path), "write", path, syscall(SYS_writev, fd, parts, number))
}

int ftruncate64(int fd, off64_t length) {
    char path[PATH_MAX];
    GUARDED(path_of(fd, path), "truncate", path, (int)syscall(SYS_ftruncate, fd, length))
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    char path[PATH_MAX];
    GUARDED(path_of(fd, path), "allocate", path, (int)syscall(SYS_fallocate, fd, mode, offset, length))
}

int fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate64(fd, mode, offset, length); }

static int sync_call(int fd, const char *path, const char *name) {
    GUARDED(1, name, path, ({
                int synced_now = *lie && strstr(path, lie) ? 0 : (int)syscall(SYS_fsync, fd);
                if (!synced_now) synced(fd, path);
                synced_now;
            }))
}

int fsync(int fd) {
    char path[PATH_MAX];
    return path_of(fd, path) ? sync_call(fd, path, "fsync") : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    char path[PATH_MAX];
    return path_of(fd, path) ? sync_call(fd, path, "fdatasync") : (int)syscall(SYS_fdatasync, fd);
}

int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags) {
    char path[PATH_MAX];
    /* It promises nothing about a power cut. */
    GUARDED(path_of(fd, path), "sync_file_range", path, (int)syscall(SYS_sync_file_range, fd, offset, length, flags))
}

static int open_call(int at_fd, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    int creates = (flags & (O_CREAT | O_TRUNC)) != 0;
    GUARDED(creates && path_at(at_fd, name, path), "create", path, (int)syscall(SYS_openat, at_fd, name, flags, mode))
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *name, int flags, ...) { MODE(flags) return open_call(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags) return open_call(AT_FDCWD, name, flags, mode); }
int openat(int fd, const char *name, int flags, ...) { MODE(flags) return open_call(fd, name, flags, mode); }
int openat64(int fd, const char *name, int flags, ...) { MODE(flags) return open_call(fd, name, flags, mode); }
int creat(const char *name, mode_t mode) { return open_call(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

static int rename_call(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
    char path[PATH_MAX];
    GUARDED(path_at(to_fd, to, path), "rename", path, ({
                keep_inode(path);
                (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
            }))
}

int rename(const char *from, const char *to) { return rename_call(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return rename_call(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return rename_call(a, from, b, to, flags); }

static int unlink_call(int fd, const char *name, int flags) {
    char path[PATH_MAX];
    GUARDED(path_at(fd, name, path), "unlink", path, ({
                if (!(flags & AT_REMOVEDIR)) keep_inode(path);
                (int)syscall(SYS_unlinkat, fd, name, flags);
            }))
}

int unlink(const char *name) { return unlink_call(AT_FDCWD, name, 0); }
int unlinkat(int fd, const char *name, int flags) { return unlink_call(fd, name, flags); }
int rmdir(const char *name) { return unlink_call(AT_FDCWD, name, AT_REMOVEDIR); }

int link(const char *from, const char *to) {
    char path[PATH_MAX];
    GUARDED(path_at(AT_FDCWD, to, path), "link", path, (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0))
}

static int mkdir_call(int fd, const char *name, mode_t mode) {
    char path[PATH_MAX];
    GUARDED(path_at(fd, name, path), "mkdir", path, (int)syscall(SYS_mkdirat, fd, name, mode))
}

int mkdir(const char *name, mode_t mode) { return mkdir_call(AT_FDCWD, name, mode); }
int mkdirat(int fd, const char *name, mode_t mode) { return mkdir_call(fd, name, mode); }
