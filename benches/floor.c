/* The minimum for a durable append: one process, one write, one sync. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **arguments) {
    char event[400];
    if (count != 2)
        return 2;
    memset(event, 'x', sizeof event);
    int file = open(arguments[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0 || write(file, event, sizeof event) != sizeof event)
        return 1;
    return fdatasync(file) != 0;
}
