/*
 * signing_key.c - make, read and rotate the key file: current key, next key, and
 * after a rotation the one before.
 *
 * Several instances may start at once on an empty folder: each writes a file of
 * its own and links it to the name, and the first link stands for all.
 */
#include "signing_key.h"

#include <errno.h>
#include <fcntl.h>
#include <jose/jwk.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "id.h"
#include "js.h"
#include "log.h"
#include "str.h"

#define KEY_BITS       2048
#define FILE_MAX_BYTES 65536

/* ---- making ---- */

/* Owned by the caller; NULL when the library fails. */
static json_t *new_key(void)
{
	json_t *key = json_pack("{s:s,s:s,s:i,s:s}", "kty", "RSA", "alg", "RS256", "bits",
				KEY_BITS, "use", "sig");

	if (!key || !jose_jwk_gen(NULL, key)) {
		json_decref(key);
		return NULL;
	}
	/* RFC 7638: the same key has the same name, whoever computes it. */
	json_object_set_new(key, "kid", jose_jwk_thp(NULL, key, "S256"));
	return key;
}

static bool write_all(int fd, const char *text)
{
	size_t len = strlen(text);

	return write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
}

static bool write_new(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool ok;

	if (fd < 0)
		return false;
	ok = write_all(fd, text);
	return close(fd) == 0 && ok;
}

static bool publish(const char *path, const char *text, bool *made, struct err *err)
{
	char id[ID_HEX_LEN + 1];
	char own[4096];
	bool linked, ok;

	id_new(id);
	snprintf(own, sizeof(own), "%.4000s.%s", path, id);
	ok = write_new(own, text);
	linked = ok && link(own, path) == 0;
	ok = linked || (ok && errno == EEXIST);
	if (made)
		*made = linked;
	if (!ok)
		err_set(err, ERR_INPUT,
			"cannot make the key file %s: %s; user-svc --make-key makes one "
			"beforehand",
			path, strerror(errno));
	unlink(own);
	return ok;
}

static char *set_text(json_t *keys, struct err *err)
{
	json_t *doc = json_pack("{s:O}", "keys", keys);
	char *text = doc ? json_dumps(doc, JSON_INDENT(1)) : NULL;

	json_decref(doc);
	if (!text)
		err_set(err, ERR_INTERNAL, "cannot write keys as JSON");
	return text;
}

static bool insert_new(json_t *keys, size_t place, struct err *err)
{
	return json_array_insert_new(keys, place, new_key()) == 0 ||
	       err_set(err, ERR_INTERNAL, "cannot make an RSA key");
}

char *signing_keys_new(struct err *err)
{
	json_t *keys = json_array();
	char *text = NULL;

	if (insert_new(keys, 0, err) && insert_new(keys, 1, err))
		text = set_text(keys, err);
	json_decref(keys);
	return text;
}

void signing_keys_wipe(char *text)
{
	if (!text)
		return;
	explicit_bzero(text, strlen(text));
	free(text);
}

bool signing_key_make(const char *path, bool *made, struct err *err)
{
	char *text = signing_keys_new(err);
	bool ok = text && publish(path, text, made, err);

	signing_keys_wipe(text);
	return ok;
}

/* ---- reading ---- */

/* A pipe gives it in pieces. Owned by the caller. NULL with errno. */
static char *read_all(int fd, size_t *len)
{
	char *text = xcalloc(1, FILE_MAX_BYTES + 1);
	ssize_t n = 1;

	for (*len = 0; n > 0 && *len<FILE_MAX_BYTES; *len += n> 0 ? (size_t)n : 0)
		n = read(fd, text + *len, FILE_MAX_BYTES - *len);
	if (n >= 0)
		return text;
	signing_keys_wipe(text);
	return NULL;
}

/* Owned by the caller. NULL with errno. */
static char *read_file(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && (st.st_mode & S_IROTH))
		log_warn("everybody on this machine can read the signing key",
			 LOG_STR("file", path));
	text = read_all(fd, len);
	close(fd);
	return text;
}

static bool private_rsa(json_t *key)
{
	const char *kty = json_string_value(json_object_get(key, "kty"));

	return kty && strcmp(kty, "RSA") == 0 &&
	       json_is_string(json_object_get(key, "n")) &&
	       json_is_string(json_object_get(key, "d"));
}

/* A single key or a set becomes an array; takes ownership of `doc`. */
static json_t *as_array(json_t *doc)
{
	json_t *keys = json_object_get(doc, "keys");

	if (keys)
		json_incref(keys);
	else
		keys = json_pack("[O]", doc);
	json_decref(doc);
	return keys;
}

static bool check_keys(json_t *keys)
{
	json_t *key;
	size_t i;

	if (!json_is_array(keys) || json_array_size(keys) == 0)
		return false;
	json_array_foreach(keys, i, key)
	{
		if (!private_rsa(key))
			return false;
		if (!json_object_get(key, "alg"))
			json_object_set_new(key, "alg", json_string("RS256"));
		if (!json_object_get(key, "kid"))
			json_object_set_new(key, "kid", jose_jwk_thp(NULL, key, "S256"));
	}
	return true;
}

/* Takes `text`; `name` is for the error. */
static json_t *parse(const char *name, char *text, size_t len, struct err *err)
{
	json_t *doc = js_parse_object((struct str){text, len}, err);
	json_t *keys;

	explicit_bzero(text, len);
	free(text);
	if (!doc)
		return NULL;
	keys = as_array(doc);
	if (check_keys(keys))
		return keys;
	err_set(err, ERR_INPUT,
		"the key file %s must hold private RSA keys as a JWK or a JWK set", name);
	json_decref(keys);
	return NULL;
}

json_t *signing_keys_load(const char *path, struct err *err)
{
	size_t len;
	char *text = read_file(path, &len);

	if (!text && errno == ENOENT) {
		if (!signing_key_make(path, NULL, err))
			return NULL;
		log_info("made a signing key", LOG_STR("file", path));
		text = read_file(path, &len);
	}
	if (text)
		return parse(path, text, len, err);
	err_set(err, ERR_INPUT, "cannot read the key file %s: %s", path, strerror(errno));
	return NULL;
}

/* ---- rotating ---- */

/* The next key is known to everybody since the last rotation, so it may sign at once;
 * the one that signed until now stays for the tokens that are out. */
static bool rotate(json_t *keys, struct err *err)
{
	if (json_array_size(keys) == 1)
		return insert_new(keys, 1, err);
	while (json_array_size(keys) > 2)
		json_array_remove(keys, 2);
	json_array_append(keys, json_array_get(keys, 0));
	json_array_remove(keys, 0);
	return insert_new(keys, 1, err);
}

char *signing_keys_rotated(int fd, const char *name, struct err *err)
{
	size_t len;
	char *text = read_all(fd, &len);
	json_t *keys;

	if (!text) {
		err_set(err, ERR_INPUT, "cannot read %s: %s", name, strerror(errno));
		return NULL;
	}
	keys = parse(name, text, len, err);
	text = keys && rotate(keys, err) ? set_text(keys, err) : NULL;
	json_decref(keys);
	return text;
}

bool signing_keys_replace(const char *path, const char *text, struct err *err)
{
	char id[ID_HEX_LEN + 1];
	char own[4096];

	id_new(id);
	snprintf(own, sizeof(own), "%.4000s.%s", path, id);
	if (write_new(own, text) && rename(own, path) == 0)
		return true;
	err_set(err, ERR_INPUT, "cannot write %s: %s", path, strerror(errno));
	unlink(own);
	return false;
}
