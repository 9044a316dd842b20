/* The durable put as the machine does it: write, fsync, rename, fsync of the directory.
 *
 *     put DIR COUNT     prints microseconds each if COUNT is more than 1
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char ENTRY[] =
    "{\"repository\": \"amp_mgms\", \"ref\": \"refs/heads/main\", "
    "\"commit_id\": \"84ce5aeb5cbfe12bf72096f34d93c9f5d148e997\", "
    "\"committer_name\": \"bdwheele\", \"committer_email\": \"bdwheele@example.org\"}";

static void put(void)
{
    char temporary[64], name[64];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(temporary, sizeof temporary, ".new-%d", getpid());
    snprintf(name, sizeof name, "build-%lld.%09ld", (long long)now.tv_sec, now.tv_nsec);

    int file = open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (file < 0 || write(file, ENTRY, strlen(ENTRY)) < 0 || fsync(file) < 0 || close(file) < 0)
        err(1, "%s", temporary);
    if (rename(temporary, name) < 0)
        err(1, "%s", name);
    int dir = open(".", O_RDONLY | O_DIRECTORY);
    if (dir < 0 || fsync(dir) < 0 || close(dir) < 0)
        err(1, "the directory");
}

int main(int argc, char **argv)
{
    if (argc < 3 || chdir(argv[1]) < 0)
        err(1, "usage: put DIR COUNT");
    int count = atoi(argv[2]);
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < count; i++)
        put();
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (count > 1)
        printf("%.1f\n", ((end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec)) / 1e3 / count);
    return 0;
}
