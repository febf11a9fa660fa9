/* commands.c - what user-svc does besides serving. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app.h"
#include "signing_key.h"
#include "user_repo.h"

static int failed(const char *command, const char *why)
{
	fprintf(stderr, "user-svc %s: %s\n", command, why);
	return EXIT_FAILURE;
}

/* Standard input and output in the place of a file. */
static bool is_dash(const char *file)
{
	return strcmp(file, "-") == 0;
}

/* Takes `text`. */
static bool print_keys(char *text)
{
	bool ok = text && puts(text) >= 0 && fflush(stdout) == 0;

	signing_keys_wipe(text);
	return ok;
}

int command_make_key(void *arg, int argc, char **argv)
{
	struct err err = {0};
	bool made;

	(void)arg;
	if (argc != 1)
		return failed("--make-key", "want one argument: FILE, or - for stdout");
	if (is_dash(argv[0]))
		return print_keys(signing_keys_new(&err))
			       ? EXIT_SUCCESS
			       : failed("--make-key", err.text);
	if (!signing_key_make(argv[0], &made, &err))
		return failed("--make-key", err.text);
	printf("%s %s\n", argv[0], made ? "made" : "is there already");
	return EXIT_SUCCESS;
}

/* ---- --rotate-key FILE ---- */

static bool rotate_file(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text;
	bool ok;

	if (fd < 0)
		return err_set(err, ERR_INPUT, "cannot read %s: %s", path,
			       strerror(errno));
	text = signing_keys_rotated(fd, path, err);
	close(fd);
	ok = text && signing_keys_replace(path, text, err);
	signing_keys_wipe(text);
	return ok;
}

int command_rotate_key(void *arg, int argc, char **argv)
{
	struct err err = {0};
	bool ok;

	(void)arg;
	if (argc != 1)
		return failed("--rotate-key",
			      "want one argument: FILE, or - for stdin to stdout");
	ok = is_dash(argv[0]) ? print_keys(signing_keys_rotated(STDIN_FILENO, "-", &err))
			      : rotate_file(argv[0], &err);
	return ok ? EXIT_SUCCESS : failed("--rotate-key", err.text);
}

/* ---- --create-admin EMAIL NAME [FILE], password in FILE or on stdin ---- */

static bool read_line(const char *path, char *line, size_t size, struct err *err)
{
	FILE *from = path ? fopen(path, "re") : stdin;
	bool ok;

	if (!from)
		return err_set(err, ERR_INPUT, "cannot read %s: %s", path,
			       strerror(errno));
	ok = fgets(line, (int)size, from) != NULL;
	if (path)
		fclose(from);
	return ok || err_set(err, ERR_INPUT, "no password in %s",
			     path ? path : "standard input");
}

/* Never as an argument: those are for everybody to see. */
static bool read_password(const char *path, char *line, size_t size, struct err *err)
{
	if (!read_line(path, line, size, err))
		return false;
	line[strcspn(line, "\r\n")] = '\0';
	return user_password_ok(str_from(line), "password", err) ||
	       err_wrap(err, "password");
}

static bool fill_admin(struct user *user, const struct settings *cfg, char **argv,
		       struct err *err)
{
	char line[USER_PASSWORD_MAX * 4 + 3];
	bool ok;

	if (!user_email(str_from(argv[0]), user->email, err) ||
	    !user_name_ok(str_from(argv[1]), err))
		return err_wrap(err, "%s", err->field);
	str_copy(user->name, sizeof(user->name), str_from(argv[1]));
	/* argv ends with NULL: without FILE it is stdin. */
	ok = read_password(argv[2], line, sizeof(line), err) &&
	     password_hash_now(&cfg->password, str_from(line), user->hash, err);
	explicit_bzero(line, sizeof(line));
	return ok;
}

int command_create_admin(void *arg, int argc, char **argv)
{
	const struct settings *cfg = arg;
	struct user user = {.role = USER_ADMIN};
	struct err err = {0};
	struct db_conn *conn;
	bool ok;

	if (argc != 2 && argc != 3)
		return failed("--create-admin",
			      "want two or three arguments: EMAIL NAME [FILE]");
	if (!fill_admin(&user, cfg, argv, &err))
		return failed("--create-admin", err.text);
	conn = db_conn_open(&cfg->db, &err);
	ok = conn && user_repo_put_admin(conn, &user, &err);
	db_conn_free(conn);
	if (!ok)
		return failed("--create-admin", err.text);
	printf("%s is an admin\n", user.email);
	return EXIT_SUCCESS;
}
