/* migrate.h - notify-svc --migrate. */
#ifndef NOTIFY_SVC_MIGRATE_H
#define NOTIFY_SVC_MIGRATE_H

/* A service_command: brings the schema up to date, with DB_MIGRATE_USER if set. */
int migrate(void *app, int argc, char **argv);

#endif
