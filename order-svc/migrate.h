/* migrate.h - order-svc --migrate. */
#ifndef ORDER_SVC_MIGRATE_H
#define ORDER_SVC_MIGRATE_H

/* A service_command: brings the schema up to date, with DB_MIGRATE_USER if set. */
int migrate(void *app, int argc, char **argv);

#endif
