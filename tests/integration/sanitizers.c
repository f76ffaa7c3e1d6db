/* SPDX-License-Identifier: MIT */
/*
 * What sanitizers get wrong about cancelled threads; linked into the programs
 * that cancel some.
 */
const char *__asan_default_suppressions(void);
const char *__tsan_default_suppressions(void);

/*
 * The frames that a cancellation unwinds stay poisoned, and the sanitizer then
 * stumbles over those that it makes in their place.
 */
const char *__asan_default_suppressions(void)
{
	return "interceptor_name:sigaltstack\n";
}

/*
 * A thread that is cancelled in poll() never leaves the sanitizer's poll(), in
 * which mutexes are not seen: so the cleanup seems to be unlocked.
 */
const char *__tsan_default_suppressions(void)
{
	return "race:serve_cancelled\nrace:call_cancelled\n";
}
