/* Many short jobs in the thread pool of a cell (here lstm's), with several pools at once and several callers of one.
 * Each task adds its job's number to its own place: a task that is lost, done twice, done for another job or still
 * under way when the job returns gives a wrong sum. Prints how much was wrong, and fails if anything was. */
#define _POSIX_C_SOURCE 200112L /* nanosleep */
#include "lstm.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CALLERS = 3, POOLS = 4, MOST_TASKS = 40 };

typedef struct {
    int *sums, number, work;
} Job;

typedef struct {
    unsigned random;
    lstm_pool *shared; /* or NULL: pools of its own */
    int jobs, wrong;
} Caller;

static void compute(int rounds) {
    for (volatile int i = 0; i < rounds; i++) {
    }
}

static void task(void *context, int index) {
    const Job *job = context;
    compute(job->work);
    if (job->number % 3 == 0) sched_yield(); /* on a busy machine the threads would rarely have a turn */
    job->sums[index] += job->number;
}

static int below(Caller *caller, int limit) {
    caller->random = caller->random * 1664525u + 1013904223u;
    return (int)(caller->random >> 16) % limit;
}

static void run_jobs(Caller *caller, lstm_pool *pool) {
    int sums[MOST_TASKS];
    for (int number = 1; number <= caller->jobs; number++) {
        const int tasks = below(caller, below(caller, 2) ? 4 : MOST_TASKS); /* 0 as well */
        Job job = {sums, number, below(caller, 4) ? 0 : below(caller, 2000)};
        for (int i = 0; i < MOST_TASKS; i++) sums[i] = 0;
        lstm_pool_run(pool, tasks, task, &job);
        for (int i = 0; i < MOST_TASKS; i++) caller->wrong += sums[i] != (i < tasks ? number : 0);
        if (!below(caller, 16)) compute(below(caller, 60000)); /* meanwhile the threads fall asleep */
    }
}

static void *call(void *context) {
    Caller *caller = context;
    if (caller->shared) {
        run_jobs(caller, caller->shared);
        return NULL;
    }
    for (int i = 0; i < POOLS; i++) {
        lstm_pool *pool = lstm_pool_new(1 + below(caller, 5));
        run_jobs(caller, pool);
        lstm_pool_free(pool);
    }
    return NULL;
}

typedef struct {
    int here, missed;
} Meeting;

static void pause_for(int milliseconds) {
    const struct timespec pause = {0, milliseconds * 1000000L};
    nanosleep(&pause, NULL);
}

static void meet(void *context, int index) {
    Meeting *meeting = context;
    __atomic_add_fetch(&meeting->here, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 1000000; i++) {
        if (__atomic_load_n(&meeting->here, __ATOMIC_SEQ_CST) == 3) {
            pause_for(index < 2 ? 20 : 0); /* the caller, whose task is the last one, falls asleep */
            return;
        }
        sched_yield();
    }
    __atomic_add_fetch(&meeting->missed, 1, __ATOMIC_SEQ_CST);
}

/* How often one of three tasks waited for the others in vain, because no thread woke up for them. */
static int missed_meetings(void) {
    lstm_pool *pool = lstm_pool_new(3);
    int missed = 0;
    for (int i = 0; i < 20 && !missed; i++) {
        Meeting meeting = {0, 0};
        pause_for(i % 2 ? 0 : 50); /* the threads fall asleep */
        lstm_pool_run(pool, 3, meet, &meeting);
        missed += meeting.missed;
    }
    lstm_pool_free(pool);
    return missed;
}

static int wrong_sums(lstm_pool *shared, int jobs) {
    pthread_t threads[CALLERS];
    Caller callers[CALLERS];
    int wrong = 0;
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (Caller){(unsigned)i + 7, shared, jobs, 0};
        pthread_create(&threads[i], NULL, call, &callers[i]);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        wrong += callers[i].wrong;
    }
    return wrong;
}

int main(int count, char **arguments) {
    const int jobs = count > 1 ? atoi(arguments[1]) : 1000;
    int wrong = wrong_sums(NULL, jobs);
    lstm_pool *shared = lstm_pool_new(3);
    wrong += wrong_sums(shared, jobs);
    lstm_pool_free(shared);
    wrong += missed_meetings();
    for (int i = 0; i < 100; i++) lstm_pool_free(lstm_pool_new(i % 6)); /* stopped before its threads have begun */
    lstm_pool_free(NULL);
    printf("%d wrong\n", wrong);
    return wrong != 0;
}
