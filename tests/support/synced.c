/* Notes how much of which file a process has made the disk keep: what a power loss leaves.
   Preloaded into whoever syncs; SYNCED_LOG names a file that gets a line for each sync: seconds that it took, the size
   that the file had when it began, its inode, its name. SYNCED_SLOW names a file with the number of milliseconds that
   each takes longer, as on a slow disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static int noted(const char *name, int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  struct stat before;
  char link[64], path[1024], line[1200];
  int known = fstat(fd, &before) == 0;
  double began = now();
  FILE *slow = getenv("SYNCED_SLOW") ? fopen(getenv("SYNCED_SLOW"), "r") : NULL;
  if (slow) {
    int milliseconds = 0;
    if (fscanf(slow, "%d", &milliseconds) == 1) usleep(1000 * milliseconds);
    fclose(slow);
  }
  int result = real(fd);
  if (result == 0 && known) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    int log = open(getenv("SYNCED_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (length > 0 && log >= 0) {
      path[length] = 0;
      int size = snprintf(line, sizeof line, "%.6f %lld %llu %s\n", now() - began, (long long)before.st_size,
                          (unsigned long long)before.st_ino, path);
      if (write(log, line, size) < 0) abort();
    }
    if (log >= 0) close(log);
  }
  return result;
}

int fdatasync(int fd) { return noted("fdatasync", fd); }
int fsync(int fd) { return noted("fsync", fd); }
