/* Starting a program as cheaply as the machine can: posix_spawn, exec, wait, one after the other.
 *
 *     spawn COUNT PROGRAM [ARGUMENT...]     prints microseconds each
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

int main(int argc, char **argv)
{
    if (argc < 3)
        errx(1, "usage: spawn COUNT PROGRAM [ARGUMENT...]");
    int count = atoi(argv[1]);
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);

    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < count; i++) {
        pid_t child;
        int status;
        if ((errno = posix_spawn(&child, argv[2], &quiet, NULL, argv + 2, environ)) != 0)
            err(1, "%s", argv[2]);
        if (waitpid(child, &status, 0) < 0 || status != 0)
            errx(1, "%s failed", argv[2]);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.1f\n", ((end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec)) / 1e3 / count);
    return 0;
}
