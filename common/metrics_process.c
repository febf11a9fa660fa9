/* metrics_process.c - what the kernel knows about this process. */
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "metrics_internal.h"

#define STAT_FIELDS 53
/* Fields of /proc/self/stat by their number in proc(5). */
enum {
	STAT_MAJOR_FAULTS = 12,
	STAT_USER = 14,
	STAT_SYSTEM = 15,
	STAT_VSIZE = 23,
	STAT_RSS = 24
};

/* Those that come after the command's name, which may hold anything. */
static void read_stat(uint64_t field[STAT_FIELDS])
{
	char text[1024];
	FILE *f = fopen("/proc/self/stat", "re");
	size_t len = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	char *p;

	if (f)
		fclose(f);
	text[len] = '\0';
	p = strrchr(text, ')');
	for (unsigned n = 3; p && n < STAT_FIELDS; n++) {
		p = strchr(p + 1, ' ');
		field[n] = p ? strtoull(p + 1, NULL, 10) : 0;
	}
}

static unsigned open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n > 3 ? n - 3 : 0; /* ".", ".." and the directory's own */
}

static uint64_t max_fds(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

static void print(FILE *out, const char *type, const char *name, const char *help,
		  double value)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.16g\n", name, help, name, type,
		name, value);
}

void metrics_process(FILE *out, int64_t started_ms)
{
	double ticks = (double)sysconf(_SC_CLK_TCK);
	double page = (double)sysconf(_SC_PAGESIZE);
	uint64_t stat[STAT_FIELDS] = {0};

	read_stat(stat);
	print(out, "gauge", "process_resident_memory_bytes", "memory in RAM",
	      (double)stat[STAT_RSS] * page);
	print(out, "gauge", "process_virtual_memory_bytes", "address space in use",
	      (double)stat[STAT_VSIZE]);
	print(out, "counter", "process_cpu_seconds_total", "user and system time",
	      (double)(stat[STAT_USER] + stat[STAT_SYSTEM]) / ticks);
	print(out, "counter", "process_major_faults_total",
	      "pages that had to be read from disk", (double)stat[STAT_MAJOR_FAULTS]);
	print(out, "gauge", "process_open_fds", "open files", open_fds());
	print(out, "gauge", "process_max_fds", "files that may be open",
	      (double)max_fds());
	print(out, "gauge", "process_start_time_seconds", "start, since 1970",
	      (double)started_ms / 1000.0);
}
