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

typedef struct {
    void (*member)(void *);
    void *context;
    int pause;
} Member;

static void *begin(void *of) {
    const Member *member = of;
    if (member->pause) pause_for(member->pause);
    member->member(member->context);
    return NULL;
}

/* What OpenMP does, by threads some of which come late, or only when all is done. */
static void parallel(void (*member)(void *), void *context, unsigned threads, unsigned flags) {
    pthread_t thread[8];
    Member members[8];
    for (unsigned i = 1; i < threads; i++) {
        members[i] = (Member){member, context, (int)(flags + i % 3)};
        pthread_create(&thread[i], NULL, begin, &members[i]);
    }
    member(context);
    for (unsigned i = 1; i < threads; i++) pthread_join(thread[i], NULL);
}

typedef struct {
    lstm_pool *pool;
    Caller *caller;
    int missed;
} Lead;

static void lead(void *context) {
    Lead *led = context;
    run_jobs(led->caller, led->pool);
}

static void lead_meeting(void *context) {
    Lead *led = context;
    Meeting meeting = {0, 0};
    pause_for(20); /* the threads fall asleep */
    lstm_pool_run(led->pool, 3, meet, &meeting);
    led->missed += meeting.missed;
}

/* The threads of somebody else, several times with one pool; nothing may be left of them afterwards. */
static int wrong_with_a_team(int jobs) {
    Caller caller = {3, NULL, jobs / 20, 0};
    Lead led = {lstm_pool_new(1), &caller, 0};
    for (unsigned threads = 1; threads <= 8; threads++) {
        lstm_pool_lead(led.pool, parallel, threads, lead, &led);
        run_jobs(&caller, led.pool); /* by the caller alone */
    }
    for (int i = 0; i < 2; i++) lstm_pool_lead(led.pool, parallel, 3, lead_meeting, &led);
    lstm_pool_free(led.pool);
    return caller.wrong + led.missed;
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
    wrong += wrong_with_a_team(jobs);
    for (int i = 0; i < 100; i++) lstm_pool_free(lstm_pool_new(i % 6)); /* stopped before its threads have begun */
    lstm_pool_free(NULL);
    printf("%d wrong\n", wrong);
    return wrong != 0;
}
