/* Cuts the power of the file system at PATH: it forgets what it has not written, and fails from then on. The second
 * argument is 1 to write the file system's log first, 2 to lose that as well. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

int main(int count, char **words) {
    if (count != 3) return 2;
    uint32_t flags = (uint32_t)atoi(words[2]);
    int fd = open(words[1], O_RDONLY);
    if (fd < 0 || ioctl(fd, _IOR('X', 125, uint32_t), &flags)) {
        perror(words[1]);
        return 1;
    }
    return 0;
}
