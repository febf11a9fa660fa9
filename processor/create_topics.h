/* create_topics.h - `processor --create-topics`. */
#ifndef PROCESSOR_CREATE_TOPICS_H
#define PROCESSOR_CREATE_TOPICS_H

/* A service_command; `arg` is the struct settings. 0: every topic of TOPICS_FILE is
 * there and as the file says; 1: not so, the log says why; 2: a setting or the file is
 * wrong. */
int create_topics_command(void *arg, int argc, char **argv);

#endif
